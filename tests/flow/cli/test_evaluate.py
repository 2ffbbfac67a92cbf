import json
import re
import time
from contextlib import closing
from itertools import count

import pytest
import typer
from confluent_kafka import Producer
from typer.testing import CliRunner

from model.artifact import read_description
from stream.cli.evaluate import evaluate
from stream.columns.records import Outgoing
from stream.errors import DataError, TopicError
from stream.inspect.changelog import STALLED_S
from stream.kafka.clients import make_sink
from stream.settings import SHIPPED_MODEL, Settings
from tests.support.scores import risk_score

HOUR_MS = 3_600_000
OFFSETS = count()

app = typer.Typer()
app.command()(evaluate)


def score(patient, hours, risk, model="f" * 16, warm=True):
    at = 1_700_000_000_000 + int(hours * HOUR_MS)
    made = risk_score(patient, at, risk, id=f"t/0/{next(OFFSETS)}/{model}", model=model, warm=warm)
    return made.model_dump_json().encode()


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
    return json.loads(result.stdout)


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


@pytest.fixture
def ward(tmp_path):
    """Files: scores of 60 patients, every third of whom dies, their outcomes, who they are."""
    scores, deaths = [], ["RecordID,In-hospital_death"]
    for patient in range(7001, 7061):
        died = patient % 3 == 0
        deaths.append(f"{patient},{int(died)}")
        for hour in range(0, 48, 4):
            risk = min(0.95, (0.3 + hour / 60 if died else 0.1) + (patient % 7) / 20)
            scores.append(score(str(patient), hour, risk, warm=hour >= 8))
    (tmp_path / "scores.jsonl").write_bytes(b"\n".join(scores))
    (tmp_path / "deaths.csv").write_text("\n".join(deaths))
    rows = [f"{patient},{40 + patient % 50},{patient % 2},{1 + patient % 4}" for patient in range(7001, 7061)]
    (tmp_path / "patients.csv").write_text("\n".join(["RecordID,Age,Gender,ICUType", *rows]))
    return tmp_path


def test_the_ids_of_the_report_make_no_difference(ward):
    """With zeros before them, or a name of which order they are not in."""
    given = ("--threshold", "0.5", "--patients", ward / "patients.csv")
    before = report(ward, *given)
    for file in ("scores.jsonl", "deaths.csv", "patients.csv"):
        text = (ward / file).read_text("utf-8")
        (ward / file).write_text(re.sub(r"\b(70[0-6][0-9])\b", r"00\1-x", text), "utf-8")
    assert report(ward, *given) == before


def told(ward, *arguments):
    """What is said about the scores on standard error."""
    given = ("--outcomes", ward / "deaths.csv", "--scores", ward / "scores.jsonl", *arguments)
    result = CliRunner().invoke(app, [*map(str, given)])
    assert result.exit_code == 0, result.output
    return result.stderr


def report(ward, *arguments):
    given = ("--outcomes", ward / "deaths.csv", "--scores", ward / "scores.jsonl", "--report", ward / "out")
    run(*given, *arguments)
    return json.loads((ward / "out" / "report.json").read_text("utf-8"))


def test_a_report_of_a_file_of_scores(ward):
    found = report(ward, "--threshold", "0.5", "--patients", ward / "patients.csv")
    assert found["about"] == {"model": "gru-64", "hash": "f" * 16, "foretells": "in hospital death"}
    assert (found["scores"], found["patients"], found["deaths"]) == (720, 60, 20)
    assert {group["of"] for group in found["subgroups"]} == {"age", "sex", "unit"}
    alerts = found["alerts"]
    assert 0 < alerts["with_policy"]["alerts"] < alerts["without_policy"]["alerts"]
    assert alerts["lead_time"]["patients"] == 20
    assert max(alerts["lead_time"]["by_hour"]["x"]) <= 44 - 8, "a score that is not warm raises nothing"
    page = (ward / "out" / "report.html").read_text("utf-8")
    assert "gru-64" in page and "raised at a risk of 0.5" in page
    assert not any(str(patient) in re.sub('base64,[^"]*', "", page) for patient in range(7001, 7061))


def test_a_report_without_threshold_and_patients(ward):
    found = report(ward)
    assert found["alerts"] is None and found["subgroups"] == []
    assert "did not make the scores" in told(ward, "--report", ward / "out")
    assert "did not make the scores" not in told(ward, "--report", ward / "out", "--threshold", "0.5")


@pytest.mark.parametrize("flag", ["--threshold=0.5", "--patients=patients.csv"])
def test_what_is_of_the_report_needs_one(tmp_path, outcomes, flag):
    (tmp_path / "scores.jsonl").write_bytes(b"\n".join(SCORES))
    given = ["--outcomes", str(outcomes), "--scores", str(tmp_path / "scores.jsonl"), flag]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and "--report" in result.output


def test_scores_of_the_model_at_hand_alert_at_its_threshold(ward):
    known = read_description(SHIPPED_MODEL)
    lines = (ward / "scores.jsonl").read_bytes().replace(b"f" * 16, known.hash[:16].encode())
    (ward / "scores.jsonl").write_bytes(lines)
    found = report(ward)
    assert found["alerts"]["threshold"] == pytest.approx(known.alert_threshold)
    assert found["about"]["the model was trained on"] == known.training.data
    assert known.training.data in told(ward)


def test_subgroups_come_from_the_set_beside_the_outcomes(ward):
    (ward / "deaths.csv").rename(ward / "Outcomes-a.txt")
    (ward / "set-a").mkdir()
    for patient in range(7001, 7061):
        rows = [
            f"RecordID,{patient}",
            "Age,70",
            f"Gender,{patient % 2}",
            "Height,-1",
            "ICUType,3",
            "Weight,-1",
        ]
        text = "\n".join(["Time,Parameter,Value", *(f"00:00,{row}" for row in rows)])
        (ward / "set-a" / f"{patient}.txt").write_text(text + "\n")
    found = report(ward, "--outcomes", ward / "Outcomes-a.txt")
    names = [(group["of"], group["name"], group["metrics"]["patients"]) for group in found["subgroups"]]
    assert names == [
        ("age", "65–79", 60),
        ("sex", "female", 30),
        ("sex", "male", 30),
        ("unit", "medical", 60),
    ]


@pytest.mark.parametrize("threshold", ["0", "1.5", "-1", "nan"])
def test_a_threshold_that_is_no_risk_is_a_usage_error(ward, threshold):
    arguments = [
        "--outcomes",
        ward / "deaths.csv",
        "--scores",
        ward / "scores.jsonl",
        "--threshold",
        threshold,
    ]
    assert CliRunner().invoke(app, [*map(str, arguments)]).exit_code == 2


def test_a_report_that_cannot_be_written_is_an_error(ward):
    (ward / "out").write_text("a file")
    with pytest.raises(DataError, match="cannot write the report"):
        report(ward)


@pytest.mark.parametrize("file", ["report.html", "report.json"])
def test_a_report_on_a_full_disk_is_an_error(ward, file):
    (ward / "out").mkdir()
    (ward / "out" / file).symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write the report to .*: No space left on device"):
        report(ward)
