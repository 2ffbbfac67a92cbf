"""Everything that a report says of scores, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import Outcomes, Statics
from model.evaluate.alerts import HOURS_PER_DAY, AlertBurden, LeadTime, alert_burden, lead_time
from model.evaluate.bootstrap import RESAMPLES
from model.evaluate.curves import CalibrationBin, Curve, NetBenefit, calibration, net_benefit, precision, roc
from model.evaluate.horizons import HORIZONS
from model.evaluate.labelled_scores import LabelledScores
from model.evaluate.metrics import Metrics, best_threshold, measure
from model.evaluate.subgroups import Subgroup, subgroups


@dataclass(frozen=True, slots=True)
class Alerting:
    """What alerts were made of the scores. threshold: the operating threshold, chosen on training data.
    raised: bool [N], which rows raise an alert. rule: how, in a few words for the reader."""

    threshold: float
    raised: NDArray[np.bool_]
    rule: str


@dataclass(frozen=True, slots=True)
class AtHorizon:
    """Figures of the last score of each patient at or before `hours` (None: of all). The curves are None if
    everybody or nobody died. best_threshold: that of `metrics.event1_best`."""

    hours: float | None
    metrics: Metrics
    best_threshold: float | None
    roc: Curve | None
    precision: Curve | None
    calibration: tuple[CalibrationBin, ...]
    net_benefit: tuple[NetBenefit, ...]


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """with_policy: of the alerts as given. without_policy: each score at or above the threshold is one."""

    threshold: float
    rule: str
    with_policy: AlertBurden
    without_policy: AlertBurden
    lead_time: LeadTime


@dataclass(frozen=True, slots=True)
class Figures:
    """scores, patients, deaths, patient_days: what was evaluated. unscored, unknown: as in `LabelledScores`.
    subgroups: of the last scores, empty without statics. alerts: None without a threshold."""

    scores: int
    patients: int
    deaths: int
    patient_days: float
    unscored: int
    unknown: int
    resamples: int
    horizons: tuple[AtHorizon, ...]
    subgroups: tuple[Subgroup, ...]
    alerts: AlertFigures | None

    def at(self, hours: float | None) -> AtHorizon:
        return next(horizon for horizon in self.horizons if horizon.hours == hours)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def assess(
    patients: NDArray[np.int64],
    hours: NDArray[np.float64],
    risks: NDArray[np.floating],
    outcomes: Outcomes,
    *,
    statics: Statics | None = None,
    alerting: Alerting | None = None,
    resamples: int = RESAMPLES,
) -> Figures:
    """All figures of scores, against death in hospital. The columns are those of `LabelledScores.of`.

    resamples: of each interval. Raises `DatasetError` if no scored patient has an outcome.
    """
    labelled = LabelledScores.of(patients, hours, risks, outcomes)
    threshold = alerting.threshold if alerting else None
    known, last = labelled.known_by(None)
    first_hour, last_hour = labelled.spans()
    return Figures(
        scores=len(labelled),
        patients=len(known),
        deaths=int(labelled.died.sum()),
        patient_days=float((last_hour - first_hour).sum() / HOURS_PER_DAY),
        unscored=labelled.unscored,
        unknown=labelled.unknown,
        resamples=resamples,
        horizons=tuple(_at(labelled, until, threshold, resamples) for until in (*HORIZONS, None)),
        subgroups=subgroups(labelled.record_ids, last, labelled.died, statics, resamples) if statics else (),
        alerts=_alerts(labelled, alerting, resamples) if alerting else None,
    )


def _at(labelled: LabelledScores, until: float | None, threshold: float | None, resamples: int) -> AtHorizon:
    patients, risks = labelled.known_by(until)
    died = labelled.died[patients]
    mixed = bool(0 < died.sum() < len(died))
    return AtHorizon(
        hours=until,
        metrics=measure(risks, died, threshold, resamples),
        best_threshold=best_threshold(risks, died),
        roc=roc(risks, died) if mixed else None,
        precision=precision(risks, died) if mixed else None,
        calibration=calibration(risks, died),
        net_benefit=net_benefit(risks, died, resamples),
    )


def _alerts(labelled: LabelledScores, alerting: Alerting, resamples: int) -> AlertFigures:
    raised = alerting.raised[labelled.order]
    return AlertFigures(
        threshold=alerting.threshold,
        rule=alerting.rule,
        with_policy=alert_burden(labelled, raised, resamples),
        without_policy=alert_burden(labelled, labelled.risks >= alerting.threshold, resamples),
        lead_time=lead_time(labelled, raised, resamples),
    )
