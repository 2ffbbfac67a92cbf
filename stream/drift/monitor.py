"""Compares what comes with what the model was made with. Constant memory, whatever comes; pure numpy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.reference import Histogram, Reference
from model.variables import NAMES
from stream.columns.events import Kind
from stream.columns.scores import Drift, Scores
from stream.drift.stability import stability

SAMPLE = 128
"""Most events of a micro-batch that are looked at, evenly spread over it."""

HALF_LIFE_S = 6 * 3600.0
"""In which a count fades to half. By the clock, as alerts are, so that it means the same on a large and on a
small ward: a feed that stops is seen within hours, and a single hour's rounds are not drift."""

Clock = Callable[[], float]


class Window:
    """How many of the latest values of C columns stood in each bin; older ones fade away.

    Kept as counts of the values that reached each bin's lower edge, for which one comparison is enough.
    """

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        shape = max(len(histogram.shares) for histogram in histograms), len(histograms)
        self._lower = np.full(shape, np.inf, np.float32)
        self._lower[0] = -np.inf
        self._expected = np.zeros(shape)
        for column, histogram in enumerate(histograms):
            self._lower[1 : len(histogram.shares), column] = histogram.edges
            self._expected[: len(histogram.shares), column] = histogram.shares
        self._reached = np.zeros(shape)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count `values` [N, C]; NaN is none."""
        self._reached += (values[:, None] >= self._lower).sum(axis=0)

    def fade(self, kept: float) -> None:
        self._reached *= kept

    @property
    def totals(self) -> NDArray[np.float64]:
        """Values of each column: [C]."""
        return np.asarray(self._reached[0])

    def stability(self) -> NDArray[np.float64]:
        """As `stream.drift.stability.stability`: [C]."""
        return stability(self._expected, -np.diff(self._reached, axis=0, append=0.0))


class DriftMonitor:
    """The drift of one worker's events since it started. Admissions and discharges measure nothing: of them
    the risk counts alone. clock: seconds, never backwards."""

    def __init__(self, reference: Reference, clock: Clock = time.monotonic) -> None:
        self._values = Window([reference.values[name] for name in NAMES])
        self._risk = Window([reference.risk])
        measured = np.array([reference.measured[name] for name in NAMES])
        self._measured = np.stack([measured, 1 - measured])
        self._observations = 0.0
        self._clock = clock
        self._faded = clock()
        self._turn = 0

    def observe(self, scores: Scores) -> None:
        """Count the scores of a micro-batch: all, or every k-th, beginning at another place each time."""
        step = -(-len(scores) // SAMPLE) or 1
        rows = slice(self._turn % step, None, step)
        self._turn += 1
        observations = scores.events.kinds[rows] == Kind.OBSERVATION
        self._values.add(scores.events.values[rows][observations])
        self._risk.add(scores.risk[rows, None])
        self._observations += int(observations.sum())

    def drift(self) -> Drift:
        """Compare, after all has faded by the time since the last call: call it often."""
        now = self._clock()
        kept = 0.5 ** ((now - self._faded) / HALF_LIFE_S)
        self._faded = now
        self._values.fade(kept)
        self._risk.fade(kept)
        self._observations *= kept
        measured = self._values.totals
        how_often = np.stack([measured, self._observations - measured])
        return Drift(
            self._values.stability(), stability(self._measured, how_often), self._risk.stability().item()
        )


class NullDriftMonitor:
    """Takes the place of `DriftMonitor` if the artifact has no reference of the training data."""

    def observe(self, scores: Scores) -> None:
        pass

    def drift(self) -> Drift:
        return Drift.unknown(len(NAMES))
