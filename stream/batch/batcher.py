"""Micro-batcher: how many records go through the cell at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream.records import Records

Poll = Callable[[int, float], Records]


class Batcher:
    """Gathers up to `max_batch` records, or what came within `max_wait` seconds of the first.

    With a long backlog a poll returns a full batch at once, and nothing waits.
    """

    def __init__(self, max_batch: int, max_wait: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._clock = clock

    def gather(self, poll: Poll, idle: float) -> Records:
        """Block up to `idle` seconds for the first record; no records where none came."""
        parts = [poll(self._max_batch, idle)]
        count = len(parts[0])
        deadline = self._clock() + self._max_wait
        while 0 < count < self._max_batch and (left := deadline - self._clock()) > 0:
            parts.append(poll(self._max_batch - count, left))
            count += len(parts[-1])
        return Records.concat(parts)
