"""How far the scores of two models agree, event by event. Pure numpy."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAR = 0.1
"""Risks that differ by more are counted."""
MOST_WAITING = 200_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """compared: scores. correlation: Pearson's, NaN before there are two. mean_difference: mean absolute
    difference of the risks. far: share that differs by more than `FAR`. old, new: mean risks."""

    compared: int
    correlation: float
    mean_difference: float
    far: float
    old: float
    new: float


class Agreement:
    """Pairs the scores of two models by partition and offset, and keeps sums, never scores that are paired. A
    score that the other model does not give is forgotten once both have gone past it."""

    def __init__(self) -> None:
        self._old: defaultdict[int, _Waiting] = defaultdict(_Waiting)
        self._new: defaultdict[int, _Waiting] = defaultdict(_Waiting)
        self._sums = np.zeros(8)

    def add_old(self, partition: int, offsets: NDArray[np.int64], risks: NDArray[np.float64]) -> None:
        """Add the running model's scores of events of a partition. Offsets not beyond those added before are
        left out."""
        self._old[partition].add(offsets, risks)
        self._pair(partition)

    def add_new(self, partition: int, offsets: NDArray[np.int64], risks: NDArray[np.float64]) -> None:
        """Add the new model's scores likewise."""
        self._new[partition].add(offsets, risks)
        self._pair(partition)

    def waiting(self, partition: int) -> int:
        """Scores of the running model that wait for those of the new one."""
        return len(self._old[partition].offsets)

    def figures(self) -> Comparison:
        compared = int(self._sums[0])
        if not compared:
            return Comparison(0, *[float("nan")] * 5)
        old, new, old2, new2, product, difference, far = (self._sums[1:] / compared).tolist()
        spread = np.sqrt(max(old2 - old * old, 0) * max(new2 - new * new, 0))
        correlation = (product - old * new) / spread if spread else float("nan")
        return Comparison(compared, float(correlation), difference, far, old, new)

    def _pair(self, partition: int) -> None:
        old, new = self._old[partition], self._new[partition]
        if not len(old.offsets) or not len(new.offsets):
            return
        places = np.minimum(np.searchsorted(old.offsets, new.offsets), len(old.offsets) - 1)
        both = old.offsets[places] == new.offsets
        self._count(old.risks[places[both]], new.risks[both])
        passed = int(min(old.offsets[-1], new.offsets[-1]))
        old.forget(passed)
        new.forget(passed)

    def _count(self, old: NDArray[np.float64], new: NDArray[np.float64]) -> None:
        apart = np.abs(old - new)
        columns = np.ones(len(old)), old, new, old * old, new * new, old * new, apart, apart > FAR
        self._sums += [column.sum() for column in columns]


class _Waiting:
    """Scores of one model in one partition that have no counterpart yet, in offset order."""

    def __init__(self) -> None:
        self.offsets = np.empty(0, np.int64)
        self.risks = np.empty(0, np.float64)
        self._last = -1

    def add(self, offsets: NDArray[np.int64], risks: NDArray[np.float64]) -> None:
        offsets, places = np.unique(offsets, return_index=True)
        unseen = offsets > self._last
        if unseen.any():
            self._last = int(offsets[-1])
            self.offsets = np.concatenate([self.offsets, offsets[unseen]])[-MOST_WAITING:]
            self.risks = np.concatenate([self.risks, risks[places[unseen]]])[-MOST_WAITING:]

    def forget(self, until: int) -> None:
        """All up to and with this offset."""
        later = self.offsets > until
        self.offsets, self.risks = self.offsets[later], self.risks[later]
