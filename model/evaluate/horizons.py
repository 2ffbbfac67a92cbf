"""How well the scores known at 6, 12, 24, 36, 48 h since admission, and the last ones, rank the patients."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    roc_auc_score,
)

from model.datasets.padding import step_hours, step_owners
from model.datasets.stays import Outcomes, Stays
from model.evaluate.labelled_scores import LabelledScores
from model.evaluate.offline import step_risks
from model.risk_model import RiskModel

HORIZONS = (6.0, 12.0, 24.0, 36.0, 48.0)
_MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Horizon:
    """hours: None for the last score. patients: those with a score by then. auroc and auprc (average
    precision) are None if all outcomes are the same. brier: mean squared error of the risk."""

    hours: float | None
    patients: int
    deaths: int
    auroc: float | None
    auprc: float | None
    brier: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """scores: events scored. unscored: patients with an outcome and no score; they count nowhere.
    unknown: patients with a score and no outcome."""

    scores: int
    patients: int
    unscored: int
    unknown: int
    horizons: tuple[Horizon, ...]

    def at(self, hours: float | None) -> Horizon:
        return next(horizon for horizon in self.horizons if horizon.hours == hours)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def evaluate(
    patients: NDArray[np.int64],
    hours: NDArray[np.float64],
    risks: NDArray[np.floating],
    outcomes: Outcomes,
) -> Evaluation:
    """For each patient the last score at or before each horizon counts, against death in hospital.

    The columns are those of `LabelledScores.of`; of scores at the same hour the later row counts. Raises
    `DatasetError` if no scored patient has an outcome.
    """
    labelled = LabelledScores.of(patients, hours, risks, outcomes)
    return Evaluation(
        scores=len(labelled),
        patients=len(labelled.record_ids),
        unscored=labelled.unscored,
        unknown=labelled.unknown,
        horizons=tuple(_horizon(labelled, until) for until in (*HORIZONS, None)),
    )


def evaluate_offline(model: RiskModel, stays: Stays, outcomes: Outcomes) -> Evaluation:
    """`evaluate` on the whole-sequence scores of stays that are free of implausible values."""
    return evaluate_steps(step_risks(model, stays), stays, outcomes)


def evaluate_steps(risks: NDArray[np.floating], stays: Stays, outcomes: Outcomes) -> Evaluation:
    """`evaluate` on the risks of every step of the stays: [P + E]."""
    patients = stays.record_ids[step_owners(stays)].astype(np.int64)
    return evaluate(patients, step_hours(stays), risks, outcomes)


def hours_since_first(patients: NDArray[np.int64], observed_at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Hours between each score's event (ms since the Unix epoch) and the patient's first: its admission."""
    _, inverse = np.unique(patients, return_inverse=True)
    first = np.full(int(inverse.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, inverse, observed_at)
    return np.asarray((observed_at - first[inverse]) / _MS_PER_HOUR)


def _horizon(labelled: LabelledScores, until: float | None) -> Horizon:
    patients, risks = labelled.known_by(until)
    died = labelled.died[patients]
    mixed = 0 < died.sum() < len(died)
    return Horizon(
        hours=until,
        patients=len(patients),
        deaths=int(died.sum()),
        auroc=float(roc_auc_score(died, risks)) if mixed else None,
        auprc=float(average_precision_score(died, risks)) if mixed else None,
        brier=float(np.mean((risks - died) ** 2)) if len(patients) else 0.0,
    )
