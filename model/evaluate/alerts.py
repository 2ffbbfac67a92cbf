"""What alerts cost and give: their number, the patients they find, and how early they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluate.bootstrap import RESAMPLES, Estimate, Floats, estimates
from model.evaluate.curves import Curve
from model.evaluate.labelled_scores import LabelledScores

HOURS_PER_DAY = 24
EARLY = (6.0, 12.0, 24.0, 36.0)


@dataclass(frozen=True, slots=True)
class AlertBurden:
    """alerts: of all patients. a_day: alerts a patient-day. patients: share of patients who alerted at all.
    sensitivity: share of those who died who alerted. ppv: share of those who alerted who died."""

    alerts: int
    a_day: Estimate
    patients: Estimate
    sensitivity: Estimate
    ppv: Estimate


@dataclass(frozen=True, slots=True)
class LeadTime:
    """Hours from the first alert to the last observation of those who died and alerted.

    patients: how many. deaths: of all patients. median: of their hours, with quartiles. early: by hours of
    `EARLY`, the share of all who died who alerted at least that long before. by_hour: for every hour.
    """

    patients: int
    deaths: int
    median: Estimate
    quartiles: tuple[float, float] | None
    early: dict[float, Estimate]
    by_hour: Curve


def alert_burden(
    labelled: LabelledScores, alerts: NDArray[np.bool_], resamples: int = RESAMPLES
) -> AlertBurden:
    """alerts: bool [N], which of the scores of `labelled`, in its order, raise one."""
    counts = np.add.reduceat(alerts.astype(np.float64), labelled.starts)
    first, last = labelled.spans()
    alerted = counts > 0
    of_patients = np.stack(
        [counts, (last - first) / HOURS_PER_DAY, alerted, alerted & labelled.died, labelled.died], axis=1
    )

    def statistic(weights: Floats) -> Floats:
        number, days, flagged, caught, deaths = (weights @ of_patients).T
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = number / days, flagged / weights.sum(axis=1), caught / deaths, caught / flagged
        return np.stack(shares, axis=1)

    return AlertBurden(int(alerts.sum()), *estimates(statistic, len(counts), resamples=resamples))


def lead_time(labelled: LabelledScores, alerts: NDArray[np.bool_], resamples: int = RESAMPLES) -> LeadTime:
    """alerts: as in `alert_burden`."""
    first_alert = np.minimum.reduceat(np.where(alerts, labelled.hours, np.inf), labelled.starts)
    _, last = labelled.spans()
    hours = np.sort((last - first_alert)[labelled.died])
    warned_hours = hours[np.isfinite(hours)]
    early = np.stack([hours >= least for least in EARLY], axis=1).astype(np.float64)

    def shares(weights: Floats) -> Floats:
        return np.asarray(weights @ early / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    return LeadTime(
        patients=len(warned_hours),
        deaths=len(hours),
        median=estimates(
            lambda weights: _median(warned_hours, weights), len(warned_hours), resamples=resamples
        )[0],
        quartiles=(float(np.quantile(warned_hours, 0.25)), float(np.quantile(warned_hours, 0.75)))
        if len(warned_hours)
        else None,
        early=dict(zip(EARLY, estimates(shares, len(hours), resamples=resamples), strict=True)),
        by_hour=_at_least(hours),
    )


def _at_least(hours: Floats) -> Curve:
    """Share of the patients (y) whose hours are at least each whole number (x). -inf is less than any."""
    grid = np.arange(np.ceil(hours.max(initial=0, where=np.isfinite(hours))) + 1)
    shares = (hours >= grid[:, None]).sum(axis=1) / max(len(hours), 1)
    return Curve(tuple(grid.tolist()), tuple(shares.round(4).tolist()))


def _median(ascending: Floats, weights: Floats) -> Floats:
    """The median of values in ascending order, each counted as often as its weight: [B, 1]."""
    if not len(ascending):
        return np.full((len(weights), 1), np.nan)
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    lower = ascending[np.argmax(reached >= total / 2, axis=1)]
    upper = ascending[np.argmax(reached > total / 2, axis=1)]
    return np.asarray((lower + upper) / 2)[:, None]
