"""Figures of one set of scores for the table of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from model.datasets.padding import step_hours, step_starts
from model.evaluate.metrics import BINS
from model.train.examples import Examples

HOURS = (6.0, 12.0, 24.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the last scores, but for auroc_6, auroc_12 and auroc_24: of those known by then. event1:
    min(sensitivity, positive predictive value) at a threshold chosen on training data; event1_best: at the
    best one here. ece: 10 bins of equally many patients. None where a score is no probability or has no
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
) -> Figures:
    """scores: [P + E], of every step, flat in the order of `step_starts`."""
    starts, hours, died = step_starts(examples.stays), step_hours(examples.stays), examples.died
    last = scores[starts[1:] - 1]
    early = [roc_auc_score(died, scores[_known_by(starts, hours, until)]) for until in HOURS]
    ranked = np.cumsum(died[np.argsort(-last, kind="stable")])
    flagged = np.arange(1, len(last) + 1)
    return Figures(
        float(roc_auc_score(died, last)),
        float(average_precision_score(died, last)),
        None if threshold is None else _event1(died, last >= threshold),
        float((ranked / np.maximum(died.sum(), flagged)).max()),
        *(float(area) for area in early),
        _ece(died, last) if probability else None,
    )


def mean(runs: Sequence[Figures]) -> Figures:
    """Of several runs, figure by figure."""
    columns = {name: [asdict(run)[name] for run in runs] for name in asdict(runs[0])}
    return Figures(
        **{name: None if None in found else float(np.mean(found)) for name, found in columns.items()}
    )


def _known_by(starts: NDArray[np.int64], hours: NDArray[np.float64], until: float) -> NDArray[np.int64]:
    """Of each stay its last step at or before `until`; admission is at 0."""
    return np.add.reduceat((hours <= until).astype(np.int64), starts[:-1]) + starts[:-1] - 1


def _event1(died: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> float:
    return float((died & flagged).sum() / max(died.sum(), flagged.sum()))


def _ece(died: NDArray[np.bool_], risks: NDArray[np.floating]) -> float:
    bins = np.array_split(np.argsort(risks, kind="stable"), BINS)
    return float(sum(abs(risks[rows].sum() - died[rows].sum()) for rows in bins) / len(died))
