"""The figures in plain words, for somebody who cares for patients and not for metrics."""

from __future__ import annotations

from markupsafe import Markup

from model.evaluate.bootstrap import Estimate
from model.evaluate.figures import AlertFigures, Figures
from model.evaluate.page import boxes

MISSING = "–"


def number(figure: float | None, digits: int = 3) -> str:
    return MISSING if figure is None else f"{figure:.{digits}f}"


def with_interval(estimate: Estimate, digits: int = 3, times: int = 1, unit: str = "") -> str:
    """A figure with its interval; all `times` as much, in `unit`."""
    if estimate.value is None:
        return MISSING
    text = f"{times * estimate.value:.{digits}f}{unit}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({times * estimate.low:.{digits}f}–{times * estimate.high:.{digits}f})"


def percent(estimate: Estimate) -> str:
    """A share with its interval, in per cent."""
    return with_interval(estimate, 1, 100, "\N{NO-BREAK SPACE}%")


def answers(figures: Figures) -> Markup:
    """The four questions and what the figures say to them."""
    return boxes(
        (
            ("How well does it rank patients?", _ranking(figures)),
            ("Can the risk be believed?", _belief(figures)),
            ("How many alerts?", _alerts(figures.alerts)),
            ("How early?", _early(figures.alerts)),
        )
    )


def _ranking(figures: Figures) -> str:
    last, day = figures.at(None).metrics.auroc, figures.at(24.0).metrics.auroc
    if last.value is None:
        return "It cannot be said: all patients had the same outcome."
    text = (
        "Take any two patients of whom one died in hospital and one did not. By the last score the one who "
        f"died has the higher risk in {_of_100(last)} of 100 such pairs; by chance it would be 50 "
        f"(AUROC {number(last.value)}, 95 % interval {number(last.low)}–{number(last.high)})."
    )
    return text + (f" 24 h after admission it is {_of_100(day)}." if day.value is not None else "")


def _belief(figures: Figures) -> str:
    last = figures.at(None).metrics
    return (
        f"The last scores foretold {_of_100(last.mean_risk, 1)} deaths per 100 patients; "
        f"{_of_100(last.death_rate, 1)} per 100 died. In ten groups of patients with like risks the "
        f"foretold and the observed share who died lie {_of_100(last.ece, 1)} percentage points apart on "
        "average."
    )


def _alerts(alerts: AlertFigures | None) -> str:
    if alerts is None:
        return "They were not counted: no operating threshold was given."
    ours, raw = alerts.with_policy, alerts.without_policy
    if not ours.alerts:
        return f"None: no patient alerted at a threshold of {alerts.threshold:.3g}."
    return (
        f"{number(ours.a_day.value, 2)} per patient-day ({number(raw.a_day.value, 1)} if every score at or "
        f"above the threshold of {alerts.threshold:.3g} were an alert). Of 100 patients who died "
        f"{_of_100(ours.sensitivity)} had alerted; of 100 patients who alerted {_of_100(ours.ppv)} died."
    )


def _early(alerts: AlertFigures | None) -> str:
    if alerts is None:
        return "It cannot be said without alerts."
    lead = alerts.lead_time
    if lead.median.value is None:
        return "It cannot be said: no patient who died had alerted."
    return (
        f"Of the patients who died and had alerted, half did so at least {number(lead.median.value, 0)} h "
        f"before the last observation in their record. Of 100 who died, {_of_100(lead.early[24.0])} had "
        "alerted at least 24 h before it. The record may end long before death."
    )


def _of_100(estimate: Estimate, digits: int = 0) -> str:
    return MISSING if estimate.value is None else f"{100 * estimate.value:.{digits}f}"
