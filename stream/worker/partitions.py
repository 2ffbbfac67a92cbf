"""What a worker's partitions go through: assigned, restored, read, released."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from stream.columns.records import Records
from stream.commit.committer import Committer
from stream.failpoints import reach
from stream.kafka.source import Source
from stream.metrics import Metrics
from stream.state.gaps import Place
from stream.state.placement import Placement
from stream.state.restore import Restored, Restorer
from stream.state.standby import Standby
from stream.state.store import StateStore

log = logging.getLogger(__name__)


class Partitions:
    """The partitions that the group gave to this worker, and their states.

        assigned ──▶ restoring ──▶ running ──▶ released
                         ▲            │
                         └─ forgotten ┘

    assigned: all of them. running: those that are restored, and read.
    """

    def __init__(
        self,
        source: Source,
        store: StateStore,
        restorer: Restorer,
        standby: Standby,
        committer: Committer,
        placement: Placement,
        metrics: Metrics,
    ) -> None:
        self._source, self._store, self._committer = source, store, committer
        self.restorer, self.standby = restorer, standby
        self._placement, self._metrics = placement, metrics
        self.assigned: set[int] = set()
        self.running: set[int] = set()

    def assign(self, partitions: Sequence[int]) -> None:
        self.assigned.update(partitions)
        self.standby.own(partitions)

    def restore(self, partitions: Sequence[int]) -> None:
        """Begin to read their states. Does not block."""
        self.restorer.request(partitions)

    def start_restored(self) -> None:
        """Read those whose states have come. Raises `StateError` and `GapError` if one cannot be restored."""
        for restored in self.restorer.restored():
            self._start(restored)

    def readable(self, polled: Records) -> Records:
        """The records of running partitions, without those polled before a partition was forgotten."""
        if self.running == self.assigned:
            return polled
        return polled.keep(np.isin(polled.partitions, sorted(self.running)))

    def forget_all(self) -> list[int]:
        """Hold all assigned partitions, drop their states and open offsets, and return them."""
        owned = sorted(self.assigned)
        self._source.hold(owned)
        self._forget(owned)
        return owned

    def release(self, partitions: Sequence[int]) -> None:
        """These are another member's from now on: nothing of them is committed or kept."""
        self._forget(partitions)
        self.assigned.difference_update(partitions)
        self.standby.follow(partitions)

    def closing(self) -> list[Callable[[], None]]:
        """What is to be closed, the last first."""
        return [self.standby.close, self.restorer.close]

    def show_gauges(self) -> None:
        metrics, store = self._metrics, self._store
        metrics.show_lag(self._source.lag())
        metrics.assigned.set(len(self.assigned))
        metrics.restoring.set(len(self.restorer.pending))
        metrics.followed.set(self.standby.followed)
        metrics.standby_lag.set(self.standby.lag)
        metrics.resident.set(store.resident)
        metrics.evicted.set(store.evicted)

    def _start(self, restored: Restored) -> None:
        partition, place = restored.partition, restored.place
        self._store.install(
            partition, restored.patients, restored.stream_time, restored.ended, log=place.rewound
        )
        self._report(partition, place)
        if restored.resumed:
            self._committer.begin(partition, place.offset, restored.committed)
        self._placement.partitions = restored.partitions
        self._source.start({partition: place.offset})
        self.running.add(partition)
        reach("restored")

    def _report(self, partition: int, place: Place) -> None:
        """What is missing of the input or the state before a partition goes on."""
        metrics = self._metrics
        if place.gap:
            log.error("partition %d goes on at offset %d: %s", partition, place.offset, place.gap)
            metrics.gaps.inc()
            metrics.skipped.inc(place.skipped)
        if place.unread:
            log.warning(
                "partition %d begins at offset %d: %d events were deleted before this application read it",
                partition, place.offset, place.unread,
            )  # fmt: skip
            metrics.unread.inc(place.unread)

    def _forget(self, partitions: Sequence[int]) -> None:
        self._committer.forget(partitions)
        self.restorer.forget(partitions)
        self.running.difference_update(partitions)
        for partition in partitions:
            self._store.drop(partition)
