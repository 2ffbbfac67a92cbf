import json

import typer
from typer.testing import CliRunner

from model import artifact
from stream.commands.train import train
from stream.errors import DataError

app = typer.Typer()
app.command()(train)


def write_set(data, name, patients=60):
    """The challenge's text files: stays in which a fast heart announces death."""
    folder = data / "physionet2012" / f"set-{name}"
    folder.mkdir(parents=True)
    outcomes = ["RecordID,In-hospital_death"]
    for number in range(patients):
        record, died = 1000 + number, number % 3 == 0
        rows = ["Time,Parameter,Value", f"00:00,RecordID,{record}", f"00:00,Age,{30 + number % 50}"]
        rows += [f"{hour:02}:15,HR,{130 if died else 60}" for hour in range(1, 8)]
        (folder / f"{record}.txt").write_text("\n".join(rows) + "\n")
        outcomes.append(f"{record},{int(died)}")
    (data / "physionet2012" / f"Outcomes-{name}.txt").write_text("\n".join(outcomes) + "\n")


QUICK = [
    "--hidden=8",
    "--epochs=6",
    "--batch-size=4",
    "--learning-rate=0.02",
    "--folds=2",
    "--json",
]


def test_text_files_become_a_model(tmp_path):
    write_set(tmp_path, "a")
    write_set(tmp_path, "b")
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(tmp_path / "out"), *QUICK])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    model = artifact.load(tmp_path / "out")
    assert (figures["model"], figures["hash"]) == ("gru-8", model.hash)
    assert (model.reference.measured["HR"], model.reference.measured["Temp"]) == (1, 0)
    assert model.reference.values["HR"].edges == (95,)
    assert figures["horizons"][-1]["auroc"] > 0.9
    assert artifact.read_description(tmp_path / "out").training.recipe["hidden_size"] == 8


def test_missing_data_says_where_to_get_it(tmp_path):
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(tmp_path / "out"), *QUICK])
    assert isinstance(result.exception, DataError)
    assert "physionet.org" in str(result.exception)
