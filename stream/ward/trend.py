"""How a patient's risk went: a few points of event time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

BUCKETS = 12

Point = tuple[int, float]
"""When the event happened, ms, and the risk."""


class Trend:
    """The latest risk of each of up to `BUCKETS` stretches of event time, `bucket_ms` long."""

    __slots__ = ("_points", "bucket_ms")

    def __init__(self, bucket_ms: int, points: Iterable[Point] = ()) -> None:
        self.bucket_ms = bucket_ms
        self._points: deque[Point] = deque(points, maxlen=BUCKETS)

    def add(self, at_ms: int, risk: float) -> None:
        """What is older than the last point is left out."""
        if self._points:
            last = self._points[-1][0]
            if at_ms < last:
                return
            if at_ms // self.bucket_ms == last // self.bucket_ms:
                self._points.pop()
        self._points.append((at_ms, risk))

    def since(self, at_ms: int) -> Trend:
        """The trend of what happened after this moment."""
        return Trend(self.bucket_ms, (point for point in self._points if point[0] > at_ms))

    def levels(self) -> list[float]:
        """One risk for each stretch, oldest first; a stretch without a score has that of the one before."""
        if not self._points:
            return []
        begin = self._points[-1][0] // self.bucket_ms - BUCKETS + 1
        levels: dict[int, float] = {}
        for at_ms, risk in self._points:
            first = max(at_ms // self.bucket_ms, begin)
            levels |= dict.fromkeys(range(first, begin + BUCKETS), risk)
        return [levels[bucket] for bucket in sorted(levels)]

    def change(self) -> float:
        """The last risk less the first of those shown; 0 if there is only one."""
        levels = self.levels()
        return levels[-1] - levels[0] if levels else 0.0
