import json
import time
from contextlib import closing

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from stream.columns.records import Outgoing
from stream.errors import DataError, TopicError
from stream.inspect.changelog import STALLED_S
from stream.kafka.clients import make_sink
from stream.settings import Settings
from tests.flow.cli.evaluating import SCORES, app, run, score


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
    for named in ("--scores-topic", "--scores"):
        check(run("--outcomes", outcomes, "--bootstrap-servers", kafka, named, topic))


@pytest.mark.parametrize("client", ["librdkafka", "kafka-python"])
def test_a_topic_that_ends_in_the_markers_of_transactions_ends(client, kafka, make_topic, outcomes):
    topic = make_topic()
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number, value in enumerate(SCORES):
        producer.produce(topic, value, partition=number % 4)
    producer.commit_transaction(30)
    begun = time.monotonic()
    check(run("--outcomes", outcomes, "--bootstrap-servers", kafka, "--scores", topic, "--client", client))
    assert time.monotonic() - begun < STALLED_S


def test_a_name_that_is_no_file_is_a_topic(kafka, outcomes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("--outcomes", outcomes, "--scores", "scores.jsonl", "--bootstrap-servers", kafka)
    with pytest.raises(TopicError, match=r"scores\.jsonl"):
        run(*given)
    (tmp_path / "scores.jsonl").write_bytes(b"\n".join(SCORES))
    check(run(*given))


def test_a_score_that_was_delivered_twice_counts_once(tmp_path, outcomes):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"\n".join([*SCORES, *SCORES[:5]]))
    check(run("--outcomes", outcomes, "--scores", path))


HOSPITAL = {"1": "9434765000", "2": "MRN-17", "3": "00123", "4": "123\x1b[2J\u202e", "5": "+4"}


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("0.0", "1.0"), ("false", "true")])
def test_numbers_of_a_hospital_are_compared_as_they_are_written(tmp_path, separator, mark, no, yes):
    deaths = ["RecordID,In-hospital_death", *(f"{HOSPITAL[n]},{yes if n in '34' else no}" for n in HOSPITAL)]
    outcomes, path = tmp_path / "outcomes.csv", tmp_path / "scores.jsonl"
    outcomes.write_text(mark + "\r\n".join(deaths).replace(",", separator), "utf-8", newline="")
    renamed = (
        json.dumps(said | {"patient_id": HOSPITAL.get(said["patient_id"], "somebody")}, ensure_ascii=False)
        for said in map(json.loads, SCORES)
    )
    path.write_text(mark + "\n".join(renamed), "utf-8")
    check(run("--outcomes", outcomes, "--scores", path))
    shown = CliRunner().invoke(app, ["--outcomes", str(outcomes), "--scores", str(path)])
    assert shown.exit_code == 0
    assert not any(patient in shown.output for patient in HOSPITAL.values())


def test_a_wrong_outcome_is_named_by_column_and_row(tmp_path):
    (tmp_path / "scores.jsonl").write_bytes(SCORES[0])
    (tmp_path / "outcomes.csv").write_text("RecordID;In-hospital_death\nMRN-17;0\nMRN-18;dead\n")
    with pytest.raises(DataError, match="column In-hospital_death must hold 0 or 1: row 3") as error:
        run("--outcomes", tmp_path / "outcomes.csv", "--scores", tmp_path / "scores.jsonl")
    assert "MRN" not in str(error.value) and "dead" not in str(error.value)


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
    with pytest.raises(DataError, match="no score is of a model whose hash begins with abc"):
        run("--outcomes", outcomes, "--scores", path, "--model-hash", "abc")


def other(**changed):
    return json.dumps(json.loads(SCORES[0]) | changed).encode()


@pytest.mark.parametrize(
    "line",
    [b"{}", b"not json", b"\xff\xfe", b'{"patient_id": 3}', other(risk=7.0), other(observed_at=2**63)],
)
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
