import json
from contextlib import closing

import pytest
import typer
from typer.testing import CliRunner

from stream.clients import make_sink
from stream.commands.evaluate import evaluate
from stream.errors import DataError
from stream.records import Outgoing
from stream.settings import Settings

HOUR_MS = 3_600_000

app = typer.Typer()
app.command()(evaluate)


def score(patient, hours, risk, model="f" * 16):
    at = 1_700_000_000_000 + int(hours * HOUR_MS)
    return json.dumps(
        {"patient_id": patient, "observed_at": at, "risk": risk, "model": {"name": "gru-64", "hash": model}}
    ).encode()


SCORES = [
    *(score(str(number), 0, 0.5) for number in range(1, 5)),
    *(score(str(number), 5.5, 0.1 * (5 - number)) for number in range(1, 5)),
    *(score(str(number), 40, 0.1 * number) for number in range(1, 5)),
    score("somebody", 0, 0.3),
]


@pytest.fixture
def outcomes(tmp_path):
    path = tmp_path / "outcomes.csv"
    path.write_text("RecordID,Survival,In-hospital_death\n1,-1,0\n2,-1,0\n3,2,1\n4,3,1\n5,-1,0\n")
    return path


def run(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def check(figures):
    assert (figures["scores"], figures["patients"]) == (12, 4)
    assert (figures["unscored"], figures["unknown"]) == (1, 1)
    aurocs = {horizon["hours"]: horizon["auroc"] for horizon in figures["horizons"]}
    assert aurocs == {6: 0, 12: 0, 24: 0, 36: 0, 48: 1, None: 1}


def test_scores_of_a_file(tmp_path, outcomes):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"\n".join(SCORES) + b"\n\n")
    check(run("--outcomes", outcomes, "--scores", path))


def test_scores_of_the_topic(kafka, make_topic, outcomes):
    topic = make_topic()
    settings = Settings(bootstrap_servers=kafka, scores_topic=topic)
    with closing(make_sink(settings)) as sink:
        keys = [json.loads(value)["patient_id"].encode() for value in SCORES]
        sink.send(Outgoing(topic, SCORES, keys))
        sink.flush(10)
    check(run("--outcomes", outcomes, "--bootstrap-servers", kafka, "--scores-topic", topic))


def test_a_table_for_people(tmp_path, outcomes):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"\n".join(SCORES))
    result = CliRunner().invoke(app, ["--outcomes", str(outcomes), "--scores", str(path)])
    assert result.exit_code == 0
    assert "last score" in result.output
    assert "12 scores of 4 patients" in result.output


def test_scores_of_two_models_are_not_mixed(tmp_path, outcomes):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"\n".join([*SCORES, *(score(str(n), 41, 0.5, model="e" * 16) for n in range(1, 5))]))
    with pytest.raises(DataError, match="2 models"):
        run("--outcomes", outcomes, "--scores", path)
    check(run("--outcomes", outcomes, "--scores", path, "--model-hash", "fff"))


@pytest.mark.parametrize("line", [b"{}", b"not json", b"\xff\xfe", b'{"patient_id": 3}'])
def test_what_is_no_score_is_refused_without_repeating_it(tmp_path, outcomes, line):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(SCORES[0] + b"\n" + line + b"\n")
    with pytest.raises(DataError, match="score 2 is not a RiskScore") as error:
        run("--outcomes", outcomes, "--scores", path)
    assert "patient" not in str(error.value)


def test_missing_files_are_named(tmp_path, outcomes):
    with pytest.raises(DataError, match=r"scores\.jsonl"):
        run("--outcomes", outcomes, "--scores", tmp_path / "scores.jsonl")
    (tmp_path / "scores.jsonl").write_bytes(SCORES[0])
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        run("--outcomes", tmp_path / "nowhere.csv", "--scores", tmp_path / "scores.jsonl")
