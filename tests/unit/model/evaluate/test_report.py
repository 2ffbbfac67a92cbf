"""What a reader of the report gets: every section, no patient, nothing from elsewhere."""

import base64
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from model.datasets.stays import Outcomes
from model.errors import DatasetError
from model.evaluate.figures import Alerting, assess
from model.evaluate.metrics import FIGURES
from model.evaluate.page import Section, boxes, bullets, numbered, paragraphs, plot, table
from model.evaluate.report import write
from tests.unit.model.evaluate.made import statics, ward

pytestmark = pytest.mark.long

SECTIONS = [
    "In short",
    "Ranking",
    "Calibration: can the risk be believed?",
    "Decision curve: is it worth acting on?",
    "Alerts",
    "Subgroups",
    "Limits",
    "How it was measured",
]
PATIENTS, HOURS, RISKS, OUTCOMES = ward()
ALERTING = Alerting(0.4, RISKS >= 0.4, "each score of 0.4 or more")
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Titles, pictures and text of a page whose tags must fit."""

    def __init__(self, html):
        super().__init__()
        self.open, self.titles, self.images, self.text, self.tags = [], [], [], "", set()
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        self.text += data


@pytest.fixture(scope="module")
def figures():
    return assess(
        PATIENTS,
        HOURS,
        RISKS,
        OUTCOMES,
        statics=statics(OUTCOMES.record_ids),
        alerting=ALERTING,
        resamples=50,
    )


@pytest.fixture(scope="module")
def html(figures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    path = write(folder / "new", "Scores & their worth", figures, about={"model": "gru <64>"})
    return path.read_text("utf-8")


def test_every_section_is_there_with_its_plots(html):
    page = Page(html)
    assert page.titles == SECTIONS
    assert len(page.images) == 6
    for image in page.images:
        assert image["alt"]
        kind, data = image["src"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")


def test_it_says_what_was_evaluated_and_for_what_it_is_not(html):
    text = Page(html).text
    for said in (
        "Scores & their worth",
        "gru <64>",
        "not a medical device",
        "each score of 0.4 or more",
        "2,400",
    ):
        assert said in text
    assert "nan" not in text.lower().split()


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(html):
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import|javascript", html, re.IGNORECASE)
    assert not Page(html).tags & {"script", "link", "iframe", "object"}


def test_it_names_no_patient(html, figures, tmp_path):
    write(tmp_path, "t", figures)
    for text in (html, (tmp_path / "report.json").read_text("utf-8")):
        assert not any(str(patient) in text for patient in OUTCOMES.record_ids.tolist())


def test_the_same_figures_give_the_same_bytes(figures, tmp_path):
    files = [write(tmp_path / name, "t", figures) for name in "ab"]
    for name in ("report.html", "report.json"):
        assert len({(file.parent / name).read_bytes() for file in files}) == 1


def test_more_sections_stand_before_the_limits(figures, tmp_path):
    more = [
        Section("Why <it> alerts", Markup("<p><b>lactate</b></p>")),
        Section("Made of text", "<p>no HTML</p>"),
    ]
    page = write(tmp_path, "t", figures, sections=more).read_text("utf-8")
    assert Page(page).titles == [*SECTIONS[:6], "Why <it> alerts", "Made of text", *SECTIONS[6:]]
    assert "<p><b>lactate</b></p>" in page
    assert "&lt;p&gt;no HTML&lt;/p&gt;" in page


def test_text_in_a_piece_is_no_html():
    text = '<i>lactate</i> & "more"'
    pieces = (
        table([text], [[text, f"{text} ({text})"]], text),
        plot(b"<svg/>", text, text),
        paragraphs(text),
        bullets([text]),
        numbered([text]),
        boxes([(text, text)]),
    )
    for piece in pieces:
        shown = Page(str(piece))
        assert "i" not in shown.tags
        assert all(image["alt"] == text for image in shown.images)
        assert text in shown.text


def test_the_json_holds_every_figure(figures, tmp_path):
    write(tmp_path, "Title", figures, about={"model": "m"})
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (found["title"], found["about"]) == ("Title", {"model": "m"})
    assert (found["scores"], found["patients"], found["unscored"], found["unknown"]) == (2400, 120, 0, 0)
    assert [at["hours"] for at in found["horizons"]] == [6, 12, 24, 36, 48, None]
    for at in [*found["horizons"], *found["subgroups"]]:
        assert set(at["metrics"]) == {"patients", "deaths", *FIGURES}
        for name in FIGURES:
            assert set(at["metrics"][name]) == {"value", "low", "high"}
    assert {group["of"] for group in found["subgroups"]} == {"age", "sex", "unit"}
    alerts = found["alerts"]
    assert alerts["threshold"] == 0.4
    assert alerts["with_policy"] == alerts["without_policy"]
    assert set(alerts["lead_time"]["early"]) == {"6.0", "12.0", "24.0", "36.0"}


def test_alerts_are_counted_of_the_rows_that_raised(figures):
    raised = np.zeros(len(PATIENTS), dtype=bool)
    raised[np.flatnonzero(RISKS >= 0.4)[::3]] = True
    shuffled = np.random.default_rng(0).permutation(len(PATIENTS))
    found = assess(
        PATIENTS[shuffled],
        HOURS[shuffled],
        RISKS[shuffled],
        OUTCOMES,
        alerting=Alerting(0.4, raised[shuffled], ""),
        resamples=5,
    )
    assert found.alerts.with_policy.alerts == raised.sum()
    assert found.alerts.without_policy.alerts == figures.alerts.without_policy.alerts
    died = np.isin(PATIENTS, OUTCOMES.record_ids[OUTCOMES.died])
    assert found.alerts.lead_time.patients == len(np.unique(PATIENTS[raised & died]))


def test_without_threshold_and_statics_it_says_so(tmp_path):
    path = write(tmp_path, "t", assess(PATIENTS, HOURS, RISKS, OUTCOMES, resamples=5))
    page = Page(path.read_text("utf-8"))
    assert page.titles == SECTIONS
    assert len(page.images) == 4
    for said in ("no operating threshold was given", "There are none: age, sex and type of unit"):
        assert said in page.text


@pytest.mark.parametrize("died", [False, True])
def test_where_all_fared_alike_there_still_is_a_report(tmp_path, died):
    outcomes = Outcomes(OUTCOMES.record_ids, np.full(len(OUTCOMES.record_ids), died))
    late = HOURS + 30
    found = assess(
        PATIENTS, late, RISKS, outcomes, statics=statics(OUTCOMES.record_ids), alerting=ALERTING, resamples=5
    )
    page = Page(write(tmp_path, "t", found).read_text("utf-8"))
    assert page.titles == SECTIONS
    assert "all patients had the same outcome" in page.text


def test_two_patients_still_make_a_report(tmp_path):
    outcomes = Outcomes(np.array([1, 2], dtype=np.int32), np.array([True, False]))
    found = assess(
        np.array([1, 2]), np.zeros(2), np.array([0.7, 0.2]), outcomes,
        alerting=Alerting(0.9, np.zeros(2, dtype=bool), "never"), resamples=5,
    )  # fmt: skip
    assert found.at(None).metrics.auroc.value == 1
    page = Page(write(tmp_path, "t", found).read_text("utf-8"))
    assert "no patient alerted" in page.text


def test_no_scored_patient_with_an_outcome_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no score is of a patient"):
        assess(PATIENTS + 10**6, HOURS, RISKS, OUTCOMES)
