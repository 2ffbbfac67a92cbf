"""How fast event time passes while events are sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from stream.columns.records import Outgoing


class EventFeed(Protocol):
    """Events that are given in order of time: a synthetic ward, or recorded stays."""

    def due(self, until_ms: int) -> int: ...

    def tick(self, until_ms: int, limit: int) -> Outgoing: ...


class Pace:
    """Event time that runs `speed` times as fast as the clock, from `start_ms` on, but never past the clock:
    one that started in the past catches up and then goes at the clock's own pace.

    clock: seconds since the Unix epoch.
    """

    def __init__(self, start_ms: int, speed: float, clock: Callable[[], float] = time.time) -> None:
        self._start_ms, self._speed, self._clock = start_ms, speed, clock
        self._began = clock()

    def now_ms(self) -> int:
        """The event time now, ms since the Unix epoch."""
        now = self._clock()
        return int(min(self._start_ms + (now - self._began) * 1000.0 * self._speed, now * 1000.0))
