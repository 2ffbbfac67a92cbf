"""FollowingSource: a source that never runs ahead of another consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from stream.columns.records import Records
from stream.errors import BrokerUnavailable
from stream.kafka.source import RebalanceListener, Source

LOOK_EVERY_S = 0.2

Leader = Callable[[Sequence[int]], dict[int, int]]


class FollowingSource:
    """A `Source` over another, which gives a record only once the leading group has committed the offset
    after it. What was read too early waits here, its partition paused.

    leader: the leading group's committed offsets, as `Source.committed`. Asked in `poll`, every
    `LOOK_EVERY_S` seconds at most.
    """

    def __init__(self, source: Source, leader: Leader, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._leader, self._clock = source, leader, clock
        self._waiting: dict[int, Records] = {}
        self._limits: dict[int, int] = {}
        self._looked = float("-inf")

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self._source.subscribe(topic, _Forgetting(listener, self._forget), held=held)

    def hold(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)
        self._source.hold(partitions)

    def start(self, offsets: Mapping[int, int]) -> None:
        self._forget(list(offsets))
        self._source.start(offsets)
        self._source.resume(list(offsets))

    def poll(self, max_records: int, timeout: float) -> Records:
        self._look()
        if (ready := self._released(max_records)) is not None:
            return ready
        return self._kept_back(self._source.poll(max_records, timeout))

    def _look(self) -> None:
        owned = self._source.assignment()
        if not owned or self._clock() - self._looked < LOOK_EVERY_S:
            return
        with suppress(BrokerUnavailable):  # what it had committed stays committed
            self._limits |= self._leader(owned)
        self._looked = self._clock()

    def _released(self, max_records: int) -> Records | None:
        """The waiting records of one partition that may go now, None if none may."""
        for partition, waiting in self._waiting.items():
            free = waiting.offsets < self._limits.get(partition, 0)
            free[max_records:] = False
            if not free.any():
                continue
            if free.all():
                del self._waiting[partition]
                self._source.resume([partition])
            else:
                self._waiting[partition] = waiting.keep(~free)
            return waiting.keep(free)
        return None

    def _kept_back(self, polled: Records) -> Records:
        """Those that may go; the others wait. Nothing of the same partition waits already: it was paused."""
        if not len(polled):
            return polled
        early = np.zeros(len(polled), np.bool_)
        for partition in np.unique(polled.partitions).tolist():
            mine = polled.partitions == partition
            too_early = mine & (polled.offsets >= self._limits.get(partition, 0))
            if too_early.any():
                self._waiting[partition] = polled.keep(too_early)
                self._source.pause([partition])
                early |= too_early
        return polled.keep(~early)

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._waiting.pop(partition, None)

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        self._waiting.clear()
        self._source.assign(topic, offsets)

    def pause(self, partitions: Sequence[int]) -> None:
        self._source.pause(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._source.resume([partition for partition in partitions if partition not in self._waiting])

    def assignment(self) -> list[int]:
        return self._source.assignment()

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._source.commit(offsets)

    def group_metadata(self) -> Any:
        return self._source.group_metadata()

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._source.committed(partitions)

    def lag(self) -> dict[int, int]:
        return self._source.lag()

    def ended(self) -> set[int]:
        return self._source.ended()

    def partition_count(self, topic: str) -> int:
        return self._source.partition_count(topic)

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._source.beginning_offsets(partitions)

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._source.end_offsets(partitions)

    def close(self) -> None:
        self._source.close()


class _Forgetting:
    """A listener that first forgets what waits of partitions that go."""

    def __init__(self, listener: RebalanceListener, forget: Callable[[Sequence[int]], None]) -> None:
        self._listener, self._forget = listener, forget

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self._listener.on_assigned(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)
        self._listener.on_revoked(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)
        self._listener.on_lost(partitions)
