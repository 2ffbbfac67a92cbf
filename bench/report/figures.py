"""Figures of one set of scores for the table of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.datasets.padding import step_hours, step_owners
from model.datasets.stays import Outcomes
from model.evaluate.labelled_scores import LabelledScores
from model.evaluate.metrics import Groups, figures
from model.train.examples import Examples

HOURS = (6.0, 12.0, 24.0)


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """Figures of the last scores; auroc_6, auroc_12 and auroc_24 are those of the scores known by then.
    event1: min(sensitivity, positive predictive value) at a threshold chosen on training data; event1_best:
    at the best one here. ece: 10 bins of equally many patients. None if a score is no probability or has no
    threshold."""

    auroc: float
    auprc: float
    event1: float | None
    event1_best: float
    auroc_6: float
    auroc_12: float
    auroc_24: float
    ece: float | None


def of_steps(
    examples: Examples, scores: NDArray[np.floating], threshold: float | None = None, probability: bool = True
) -> ModelFigures:
    """scores: [P + E], of every step, flat in the order of `step_starts`."""
    stays = examples.stays
    outcomes = Outcomes(stays.record_ids, examples.died)
    patients = stays.record_ids[step_owners(stays)].astype(np.int64)
    labelled = LabelledScores.of(patients, step_hours(stays), scores, outcomes)
    last, *early = (_known_by(labelled, until, threshold) for until in (None, *HOURS))
    auroc_6, auroc_12, auroc_24 = (metrics["auroc"] for metrics in early)
    return ModelFigures(
        last["auroc"],
        last["auprc"],
        None if threshold is None else last["event1"],
        last["event1_best"],
        auroc_6,
        auroc_12,
        auroc_24,
        last["ece"] if probability else None,
    )


def mean(runs: Sequence[ModelFigures]) -> ModelFigures:
    """The mean of several runs, figure by figure."""
    columns = {name: [asdict(run)[name] for run in runs] for name in asdict(runs[0])}
    means: dict[str, Any] = {
        name: None if None in column else float(np.mean(column)) for name, column in columns.items()
    }
    return ModelFigures(**means)


def _known_by(labelled: LabelledScores, until: float | None, threshold: float | None) -> dict[str, float]:
    """`FIGURES` of the last scores known by then, by name."""
    patients, risks = labelled.known_by(until)
    sample = Groups.of(risks, labelled.died[patients]).sample(np.ones((1, len(risks))))
    return {name: float(figure[0]) for name, figure in figures(sample, threshold).items()}
