"""Committer: offsets are committed when everything made of the records before them is acknowledged.

at_least_once: a worker that dies scores again what it had not committed; the ids of scores are
deterministic, so consumers can dedupe.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from stream.errors import CommitError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Epoch:
    """What one micro-batch made. offsets: next offset to read of each partition in it. outstanding:
    sends that are not acknowledged."""

    offsets: dict[int, int]
    events: int
    outstanding: int = 0

    def acknowledged(self) -> None:
        self.outstanding -= 1


class Committer:
    """Commits by `commit` (as `Source.commit`) every `interval` seconds or `max_events` events.

    Epochs are committed in the order in which they were opened: one that is not acknowledged holds
    back those after it. `on_failure` is called for each commit that was refused.
    """

    def __init__(
        self,
        commit: Callable[[Mapping[int, int]], None],
        interval: float,
        max_events: int,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._commit = commit
        self._interval = interval
        self._max_events = max_events
        self._clock = clock
        self._epochs: deque[Epoch] = deque()
        self._ready: dict[int, int] = {}
        self._events = 0
        self._last = clock()
        self._on_failure = on_failure

    def open(self, offsets: dict[int, int], events: int, sends: int) -> Epoch:
        """Begin an epoch whose `sends` sends each call `acknowledged` once."""
        epoch = Epoch(offsets, events, sends)
        self._epochs.append(epoch)
        return epoch

    def commit_if_due(self) -> None:
        """Commit what is acknowledged, if the interval has passed or enough events have gathered.
        Blocks for one round trip when it commits."""
        self._collect()
        waited = self._clock() - self._last
        if self._ready and (waited >= self._interval or self._events >= self._max_events):
            self.commit()

    def commit(self) -> None:
        """Commit what is acknowledged now. A refused commit is counted, kept and tried again when the next
        is due: the worst that comes of it is that events are scored twice."""
        self._collect()
        self._last, self._events = self._clock(), 0
        if not self._ready:
            return
        try:
            self._commit(self._ready)
        except CommitError as error:
            self._on_failure()
            log.warning("offsets were not committed, will try again: %s", error)
            return
        self._ready = {}

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions belong to another member: commit nothing of them any more."""
        for partition in partitions:
            self._ready.pop(partition, None)
            for epoch in self._epochs:
                epoch.offsets.pop(partition, None)

    def _collect(self) -> None:
        while self._epochs and not self._epochs[0].outstanding:
            epoch = self._epochs.popleft()
            self._ready |= epoch.offsets
            self._events += epoch.events
