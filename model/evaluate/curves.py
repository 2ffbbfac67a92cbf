"""Curves over thresholds and risks: ROC, precision and recall, calibration, net benefit."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from model.evaluate.bootstrap import LEVEL, RESAMPLES, Estimate, Floats, estimates
from model.evaluate.metrics import BINS

POINTS = 201
"""Points of a ROC or precision curve, evenly along its x axis: no single patient can be read off it."""
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
NET_BENEFIT_THRESHOLDS = tuple(np.round(np.arange(0.02, 0.61, 0.02), 2).tolist())


@dataclass(frozen=True, slots=True)
class Curve:
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Patients of like risk. death_rate: with its 95 % interval.

    Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc
    1927;22:209-212.
    """

    patients: int
    deaths: int
    mean_risk: float
    death_rate: Estimate


@dataclass(frozen=True, slots=True)
class NetBenefit:
    """At one threshold, a patient: of acting on the risk, and on everybody. Of acting on nobody it is 0."""

    threshold: float
    model: Estimate
    treat_all: float


def roc(risks: Floats, died: NDArray[np.bool_]) -> Curve:
    """Sensitivity (y) by the share of survivors with a risk as high (x). Both outcomes must occur."""
    false, true, _ = roc_curve(died, risks)
    x = np.linspace(0, 1, POINTS)
    return _curve(x, np.interp(x, false, true))


def precision(risks: Floats, died: NDArray[np.bool_]) -> Curve:
    """Positive predictive value (y) by sensitivity (x), at the highest threshold that reaches it."""
    values, recall, _ = precision_recall_curve(died, risks)
    x = np.linspace(0, 1, POINTS)[1:]
    at = len(recall) - 1 - np.searchsorted(recall[::-1], x - 1e-9)
    return _curve(x, values[at])


def calibration(risks: Floats, died: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """`BINS` bins of equal mass, by ascending risk; fewer if patients are fewer or share their risks."""
    order = np.argsort(risks, kind="stable")
    first = np.searchsorted(risks[order], risks[order])
    bins = first * BINS // max(len(risks), 1)
    return tuple(
        CalibrationBin(len(rows), int(died[rows].sum()), float(risks[rows].mean()), _wilson(died[rows]))
        for rows in (order[bins == number] for number in np.unique(bins))
    )


def net_benefit(risks: Floats, died: NDArray[np.bool_], resamples: int = RESAMPLES) -> tuple[NetBenefit, ...]:
    """TP/n − FP/n · t/(1 − t) at each threshold t: what acting on the risk gains, in deaths foreseen.

    Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models. Med Decis
    Making 2006;26:565-574.
    """
    thresholds = np.array(NET_BENEFIT_THRESHOLDS)
    odds = thresholds / (1 - thresholds)
    worth = np.where(died[:, None], 1.0, -odds)
    flagged = np.where(risks[:, None] >= thresholds, worth, 0.0)

    def statistic(weights: Floats) -> Floats:
        return np.asarray(weights @ flagged / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    benefits = estimates(statistic, len(risks), resamples=resamples)
    treat_all = worth.mean(axis=0).tolist() if len(risks) else [0.0] * len(thresholds)
    return tuple(map(NetBenefit, NET_BENEFIT_THRESHOLDS, benefits, treat_all))


def _wilson(died: NDArray[np.bool_]) -> Estimate:
    n, rate = len(died), float(died.mean())
    centre = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return Estimate(rate, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def _curve(x: Floats, y: Floats) -> Curve:
    return Curve(tuple(x.round(4).tolist()), tuple(y.round(4).tolist()))
