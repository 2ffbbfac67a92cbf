"""The report of `evaluate`."""

import json
import re

import pytest
from typer.testing import CliRunner

from model.artifact import read_description
from stream.errors import DataError
from stream.settings import SHIPPED_MODEL
from tests.flow.cli.evaluating import SCORES, app, run, score


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


def output(ward, *arguments):
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
    assert "did not make the scores" in output(ward, "--report", ward / "out")
    assert "did not make the scores" not in output(ward, "--report", ward / "out", "--threshold", "0.5")


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
    assert known.training.data in output(ward)


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
