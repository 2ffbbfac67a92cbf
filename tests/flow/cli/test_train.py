import json
import math

import pytest
import typer
from typer.testing import CliRunner

from model import artifact
from model.train.private import CLIP, RECIPE
from stream.cli.train import train
from stream.errors import DataError, SettingsError

app = typer.Typer()
app.command()(train)


def write_set(data, name, patients=60, first=1000):
    """The challenge's text files: stays in which a fast heart announces death."""
    folder = data / "physionet2012" / f"set-{name}"
    folder.mkdir(parents=True)
    outcomes = ["RecordID,In-hospital_death"]
    for number in range(patients):
        record, died = first + number, number % 3 == 0
        rows = ["Time,Parameter,Value", f"00:00,RecordID,{record}", f"00:00,Age,{30 + number % 50}"]
        rows += [f"{hour:02}:15,HR,{130 if died else 60}" for hour in range(1, 8)]
        (folder / f"{record}.txt").write_text("\n".join(rows) + "\n")
        outcomes.append(f"{record},{int(died)}")
    (data / "physionet2012" / f"Outcomes-{name}.txt").write_text("\n".join(outcomes) + "\n")


QUICK = [
    "--learn=a",
    "--validate=b",
    "--hidden=8",
    "--wide=0",
    "--epochs=6",
    "--batch-size=4",
    "--learning-rate=0.02",
    "--folds=2",
    "--json",
]


def test_text_files_become_a_model(tmp_path):
    write_set(tmp_path, "a")
    write_set(tmp_path, "b", first=2000)
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


@pytest.mark.parametrize("file", ["model.safetensors", "model.json", "checkpoints/model/model.partial"])
def test_a_disk_that_is_full_is_said(tmp_path, file):
    write_set(tmp_path, "a")
    write_set(tmp_path, "b", first=2000)
    out = tmp_path / "out"
    (out / file).parent.mkdir(parents=True)
    (out / file).symlink_to("/dev/full")
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(out), *QUICK, "--folds=0"])
    assert isinstance(result.exception, DataError)
    assert str(result.exception) == f"cannot write the model to {out}: No space left on device"


@pytest.mark.parametrize(
    ("out", "why"), [("/proc/runs", "No such file or directory"), ("/dev/null", "File exists")]
)
def test_a_folder_that_cannot_be_made_is_said_before_anything_is_trained(tmp_path, out, why):
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", out, *QUICK])
    assert str(result.exception) == f"cannot write the model to {out}: {why}"


PRIVATE = [
    "--learn=a",
    "--validate=b",
    "--hidden=4",
    "--epochs=2",
    "--batch-size=20",
    "--dp-epsilon=3",
    "--json",
]


@pytest.fixture
def sets(tmp_path):
    write_set(tmp_path, "a")
    write_set(tmp_path, "b", first=2000)
    return ["--data", str(tmp_path), "--out", str(tmp_path / "out")]


def test_a_private_model_says_what_it_spent(sets, tmp_path):
    result = CliRunner().invoke(app, [*sets, *PRIVATE])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["privacy"]
    card = artifact.read_description(tmp_path / "out").training
    assert told == card.metrics["privacy"]
    assert 2.9 < told["epsilon"] <= 3
    assert told["delta"] == pytest.approx(60**-1.1)
    assert (told["unit"], told["steps"], told["clip"]) == ("patient", 6, CLIP)
    assert (card.recipe["hidden_size"], card.recipe["folds"]) == (4, 0)
    assert card.recipe["cell"] == RECIPE.cell
    assert "loss" not in result.stderr
    assert math.isfinite(artifact.load(tmp_path / "out").head.bias.item())


def test_a_private_model_is_told_in_words(sets):
    arguments = [argument for argument in PRIVATE if argument != "--json"]
    result = CliRunner().invoke(app, [*sets, *arguments, "--dp-delta=0.001", "--dp-clip=2"])
    assert result.exit_code == 0, result.output
    assert "epsilon 3, delta 0.001 for each patient of set a" in result.stdout


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ([*PRIVATE, "--folds=2"], "teacher"),
        ([*PRIVATE, "--validate=a"], "needs --validate"),
        ([*PRIVATE, "--dp-delta=0.5"], "delta"),
        (["--dp-clip=1"], "--dp-epsilon"),
    ],
)
def test_what_is_not_private_is_refused(sets, flags, why):
    result = CliRunner().invoke(app, [*sets, *flags])
    assert isinstance(result.exception, SettingsError)
    assert why in str(result.exception)
