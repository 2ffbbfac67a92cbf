"""What one risk a patient is worth: ranking (AUROC, AUPRC, Event 1) and belief (Event 2, Brier, ECE).

Every metric is a function of many weighted samples at once, for `model.evaluate.bootstrap`; scikit-learn
takes one at a time. Of one sample AUROC, AUPRC and Brier are its `roc_auc_score`, `average_precision_score`
and `brier_score_loss`; tests hold them to it.

Event 1 and 2: Silva I et al. Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in
Cardiology Challenge 2012. Comput Cardiol 2012;39:245-248.
ECE: Naeini MP, Cooper GF, Hauskrecht M. Obtaining well calibrated probabilities using Bayesian binning.
AAAI 2015:2901-2907; here with bins of equal mass.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from model.evaluate.bootstrap import RESAMPLES, Estimate, Floats, estimates

BINS = 10
"""Bins of Event 2 and of the ECE, of equal mass. Patients with equal risks are never split over two bins."""
_EVENT2_FLOOR = 0.001
"""Added to a bin's variance, as in the challenge's own scorer: a bin of risk 0 divides by it."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """patients, deaths: how many have a risk. mean_risk, death_rate: the predicted and the observed rate.

    auroc, auprc (average precision), brier: as usual. event1: min(sensitivity, positive predictive value) at
    the operating threshold, None without one; event1_best: at the one that is best on these very patients.
    event2: Hosmer-Lemeshow H over the range of the deciles' mean risks; less is better, 0 is perfect.
    ece: mean distance of a decile's mean risk from its death rate.
    """

    patients: int
    deaths: int
    auroc: Estimate
    auprc: Estimate
    event1: Estimate
    event1_best: Estimate
    event2: Estimate
    brier: Estimate
    ece: Estimate
    mean_risk: Estimate
    death_rate: Estimate


FIGURES = tuple(field.name for field in fields(Metrics))[2:]
_CENTRED = [FIGURES.index("event2"), FIGURES.index("ece")]


def measure(
    risks: Floats, died: NDArray[np.bool_], threshold: float | None = None, resamples: int = RESAMPLES
) -> Metrics:
    """risks: float64 [P]. died: bool [P]. threshold: the operating threshold. Figures that need patients who
    died and patients who did not are None if there are none."""
    groups = Groups.of(risks, died)

    def statistic(weights: Floats) -> Floats:
        named = figures(groups.sample(weights), threshold)
        return np.stack([named[name] for name in FIGURES], axis=1)

    intervals = estimates(statistic, len(risks), resamples=resamples, centred=_CENTRED)
    return Metrics(len(risks), int(died.sum()), **dict(zip(FIGURES, intervals, strict=True)))


def best_threshold(risks: Floats, died: NDArray[np.bool_]) -> float | None:
    """The risk at which Event 1 is greatest, the lowest of several. None if nobody died."""
    groups = Groups.of(risks, died)
    event1 = _event1_curve(groups.sample(np.ones((1, len(risks)))))[0] if died.any() else np.zeros(0)
    return float(groups.risks[np.argmax(event1)]) if len(event1) else None


@dataclass(frozen=True, slots=True)
class Groups:
    """Patients by risk. risks: float64 [G], ascending and distinct. order: int64 [P]. starts: int64 [G],
    where each risk begins in that order. died: bool [P], in that order."""

    risks: Floats
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    died: NDArray[np.bool_]

    @classmethod
    def of(cls, risks: Floats, died: NDArray[np.bool_]) -> Groups:
        order = np.argsort(risks, kind="stable")
        distinct, starts = np.unique(risks[order], return_index=True)
        return cls(distinct, order, starts, died[order])

    def sample(self, weights: Floats) -> Sample:
        """weights: float64 [B, P], in the order in which the risks were given."""
        weights = weights[:, self.order]
        if len(self.starts) == len(self.order):
            return Sample(self.risks, weights, weights * self.died)
        return Sample(
            self.risks,
            np.add.reduceat(weights, self.starts, axis=1),
            np.add.reduceat(weights * self.died, self.starts, axis=1),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """B samples. risks: float64 [G], ascending. patients, deaths: float64 [B, G], how many have each risk."""

    risks: Floats
    patients: Floats
    deaths: Floats


def figures(sample: Sample, threshold: float | None = None) -> dict[str, Floats]:
    """The metrics named in `FIGURES` of each sample, [B] each; NaN if a sample gives none."""
    patients, deaths = sample.patients.sum(axis=1), sample.deaths.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        binned = _binned(sample)
        none = np.full(len(patients), np.nan)
        return {
            "auroc": auroc(sample),
            "auprc": average_precision(sample),
            "event1": none if threshold is None else event1(sample, threshold),
            "event1_best": _event1_curve(sample).max(axis=1, initial=-np.inf),
            "event2": _event2(*binned),
            "brier": brier(sample),
            "ece": _ece(*binned),
            "mean_risk": sample.patients @ sample.risks / patients,
            "death_rate": deaths / patients,
        }


def auroc(sample: Sample) -> Floats:
    """Share of the pairs of one who died and one who did not in which the former's risk is higher; a tie is
    half a pair."""
    survivors = sample.patients - sample.deaths
    below = np.cumsum(survivors, axis=1) - survivors / 2
    pairs = np.einsum("bg,bg->b", sample.deaths, below)
    return np.asarray(pairs / (sample.deaths.sum(axis=1) * survivors.sum(axis=1)))


def average_precision(sample: Sample) -> Floats:
    """Mean precision over the deaths, each at the threshold that just includes it."""
    caught, flagged = _from_above(sample.deaths), _from_above(sample.patients)
    precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
    return np.asarray(np.einsum("bg,bg->b", sample.deaths, precision) / sample.deaths.sum(axis=1))


def event1(sample: Sample, threshold: float) -> Floats:
    """min(sensitivity, positive predictive value) if a risk at or above the threshold predicts death; 0
    if it predicts none."""
    above = sample.risks >= threshold
    caught, flagged = sample.deaths[:, above].sum(axis=1), sample.patients[:, above].sum(axis=1)
    deaths = sample.deaths.sum(axis=1)
    return np.where(deaths > 0, caught / np.maximum(np.maximum(deaths, flagged), 1), np.nan)


def brier(sample: Sample) -> Floats:
    """Mean squared error of the risk."""
    errors = sample.patients @ sample.risks**2 - 2 * sample.deaths @ sample.risks + sample.deaths.sum(axis=1)
    return np.asarray(errors / sample.patients.sum(axis=1))


def _event1_curve(sample: Sample) -> Floats:
    """Event 1 at each risk as threshold: [B, G]. caught / max(deaths, flagged) is the lesser of the two."""
    caught, flagged = _from_above(sample.deaths), _from_above(sample.patients)
    deaths = sample.deaths.sum(axis=1, keepdims=True)
    return np.asarray(caught / np.where(deaths > 0, np.maximum(deaths, flagged), np.nan))


def _from_above(counts: Floats) -> Floats:
    """How many have this risk or a higher one: [B, G]."""
    return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]


def _binned(sample: Sample) -> tuple[Floats, Floats, Floats]:
    """Patients, deaths and the sum of risks in each bin: [B, BINS]. A risk's bin is that in which its first
    patient stands; many equal risks leave bins empty."""
    before = np.cumsum(sample.patients, axis=1) - sample.patients
    total = np.maximum(sample.patients.sum(axis=1, keepdims=True), 1)
    bins = np.minimum(before * BINS / total, BINS - 1).astype(np.int64)
    cells = (bins + np.arange(len(bins))[:, None] * BINS).ravel()
    columns = sample.patients, sample.deaths, sample.patients * sample.risks
    sums = [np.bincount(cells, column.ravel(), len(bins) * BINS) for column in columns]
    patients, deaths, risks = (
        np.asarray(sample_sums, dtype=np.float64).reshape(-1, BINS) for sample_sums in sums
    )
    return patients, deaths, risks


def _event2(patients: Floats, deaths: Floats, risks: Floats) -> Floats:
    mean = risks / patients
    statistic = np.nansum((deaths - risks) ** 2 / (risks * (1 - mean) + _EVENT2_FLOOR), axis=1)
    filled = patients > 0
    spread = np.max(mean, axis=1, where=filled, initial=0) - np.min(mean, axis=1, where=filled, initial=1)
    return np.where(spread > 0, statistic / spread, np.nan)


def _ece(patients: Floats, deaths: Floats, risks: Floats) -> Floats:
    return np.asarray(np.abs(deaths - risks).sum(axis=1) / patients.sum(axis=1))
