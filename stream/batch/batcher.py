"""Micro-batcher: how many records go through the cell at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from stream.columns.records import Records

Poll = Callable[[int, float], Records]


class Batcher:
    """Gathers up to `max_batch` records, or what came within `max_wait` seconds of the first.

    With a long backlog a poll returns a full batch at once, and nothing waits. A record that is there
    already may have come at any moment since the last gathering: its wait counts from then.
    """

    def __init__(self, max_batch: int, max_wait: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._clock = clock
        self._parts: list[Records] = []
        self._gathered = clock()

    def gather(self, poll: Poll, idle: float) -> Records:
        """Block up to `idle` seconds for the first record; no records where none came."""
        self._parts = []
        since = self._gathered
        self._take(poll, 0)
        if not self._count():
            self._take(poll, idle)
            since = self._clock()
        deadline = since + self._max_wait
        while 0 < self._count() < self._max_batch and (left := deadline - self._clock()) > 0:
            self._take(poll, left)
        self._gathered = self._clock()
        return Records.concat(self._parts)

    def discard(self, partitions: Sequence[int]) -> None:
        """Forget what the gathering under way has of these partitions. For a poll that takes them away."""
        self._parts = [part.keep(~np.isin(part.partitions, partitions)) for part in self._parts]

    def _take(self, poll: Poll, timeout: float) -> None:
        more = poll(self._max_batch - self._count(), timeout)
        self._parts.append(more)  # a statement of its own: `poll` may call `discard` (on_revoked)

    def _count(self) -> int:
        return sum(map(len, self._parts))
