"""95 % intervals by resampling patients: the percentile bootstrap, all resamples of a block at once.

Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993, chapter 13. A resample is a
column of weights, how often each patient was drawn, so that a statistic is written once, for weights, and
the figure itself is the statistic of weights that are all 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights of the patients in B samples, float64 [B, P] → M figures of each sample, float64 [B, M]; NaN if
a sample gives none."""

RESAMPLES = 1000
SEED = 2012
LEVEL = 0.95
_BLOCK_CELLS = 200_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval; None if the patients, or all resamples, do not give it."""

    value: float | None
    low: float | None
    high: float | None


def estimates(
    statistic: Statistic,
    patients: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    centred: Sequence[int] = (),
) -> list[Estimate]:
    """The M figures of `statistic` with their intervals. Resamples that do not give a figure are left out of
    its interval.

    centred: figures that grow with every resample, because they add up absolute or squared misses (H, ECE).
    Their interval is shifted by the mean growth and cut at 0; otherwise it would lie above the figure itself.
    """
    if not patients:
        return [Estimate(None, None, None)] * statistic(np.zeros((1, 0))).shape[1]
    value = statistic(np.ones((1, patients)))[0]
    samples = np.concatenate([statistic(weights) for weights in _resampled(patients, resamples, seed)])
    return [_estimate(value[column], samples[:, column], column in centred) for column in range(len(value))]


def _resampled(patients: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Weights [B, P] of blocks of resamples, small enough for the processor's cache."""
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, _BLOCK_CELLS // patients))
    for begin in range(0, resamples, block):
        rows = min(block, resamples - begin)
        drawn = rng.integers(patients, size=(rows, patients)) + np.arange(rows)[:, None] * patients
        weights = np.bincount(drawn.ravel(), minlength=rows * patients)
        yield weights.reshape(rows, patients).astype(np.float64)


def _estimate(value: np.float64, samples: Floats, centred: bool) -> Estimate:
    samples = samples[np.isfinite(samples)]
    if not np.isfinite(value):
        return Estimate(None, None, None)
    if not len(samples):
        return Estimate(float(value), None, None)
    if centred:
        samples = np.maximum(samples - samples.mean() + value, 0)
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
