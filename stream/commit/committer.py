"""Committer: ends an epoch. What the events did to the state, and how far the input was read, become durable
together with what was sent of them.

exactly_once: one Kafka transaction holds the scores, the dead letters, the changelog records and the
input offsets (KIP-447).

at_least_once: outputs are acknowledged, then the changelog, then the offsets are committed;
a worker that dies in between scores some events again, under the same ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from stream.failpoints import reach
from stream.records import Outgoing
from stream.state.changelog import Changelog, Mark
from stream.state.store import StateStore

FLUSH_TIMEOUT_S = 10.0


class Guarantee(Protocol):
    """How an epoch ends."""

    def end_epoch(self, changelog: Outgoing, offsets: Mapping[int, int]) -> None:
        """Make these records durable with all that was sent, and then, or with them, the input offsets to
        read next; it may go on after the return. Raises `EpochError` where that failed or nobody knows."""

    def settle(self) -> None:
        """Wait until the last epoch is durable. Raises `EpochError` where it is not."""


class Outputs(Protocol):
    """What the committer needs of a sink."""

    def send(self, outgoing: Outgoing) -> None: ...
    def flush(self, timeout: float) -> None: ...


class Transactions(Protocol):
    """What the committer needs of a transactional sink."""

    def send(self, outgoing: Outgoing) -> None: ...
    def flush(self, timeout: float) -> None: ...
    def commit(self, topic: str, offsets: Mapping[int, int], group: Any) -> None: ...


class ExactlyOnce:
    """A `Guarantee`. group_metadata: as `Source.group_metadata`; topic: the input's."""

    def __init__(self, sink: Transactions, topic: str, group_metadata: Callable[[], Any]) -> None:
        self._sink, self._topic, self._group_metadata = sink, topic, group_metadata

    def end_epoch(self, changelog: Outgoing, offsets: Mapping[int, int]) -> None:
        self._sink.send(changelog)
        reach("changelog_sent")
        self._sink.commit(self._topic, offsets, self._group_metadata())

    def settle(self) -> None:
        self._sink.flush(FLUSH_TIMEOUT_S)


class AtLeastOnce:
    """A `Guarantee`. commit: as `Source.commit`."""

    def __init__(self, sink: Outputs, commit: Callable[[Mapping[int, int]], None]) -> None:
        self._sink, self._commit = sink, commit

    def end_epoch(self, changelog: Outgoing, offsets: Mapping[int, int]) -> None:
        self._sink.flush(FLUSH_TIMEOUT_S)
        self._sink.send(changelog)
        self._sink.flush(FLUSH_TIMEOUT_S)
        reach("changelog_sent")
        self._commit(offsets)
        reach("offsets_sent")
        reach("committed")

    def settle(self) -> None: ...


class Committer:
    """Ends the epoch `interval` seconds after the last one ended, or after `max_events` events."""

    def __init__(
        self,
        guarantee: Guarantee,
        store: StateStore,
        changelog: Changelog,
        interval: float,
        max_events: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guarantee, self._store, self._changelog = guarantee, store, changelog
        self._interval, self._max_events, self._clock = interval, max_events, clock
        self._offsets: dict[int, int] = {}
        self._events = 0
        self._last = clock()

    def add(self, offsets: Mapping[int, int], events: int) -> None:
        """A micro-batch is in the epoch, stepped and sent. offsets: of the next record of each partition."""
        self._offsets |= offsets
        self._events += events

    def commit_if_due(self) -> None:
        """`commit`, if the interval has passed or enough events have gathered."""
        waited = self._clock() - self._last
        if self._offsets and (waited >= self._interval or self._events >= self._max_events):
            self.commit()

    def commit(self) -> None:
        """End the epoch, if anything is in it. Raises `EpochError`, of this epoch or the one before: then
        nothing in memory may be trusted."""
        if self._offsets:
            reach("before_changelog")
            marks = {one: Mark(at, self._store.stream_time(one)) for one, at in self._offsets.items()}
            records = self._changelog.encode(self._store.take_changes(), marks)
            self._guarantee.end_epoch(records, self._offsets)
        self.forget(list(self._offsets))
        self._last, self._events = self._clock(), 0

    def settle(self) -> None:
        """End the epoch and wait until it is durable. Raises `EpochError`."""
        self.commit()
        self._guarantee.settle()

    def forget(self, partitions: Iterable[int]) -> None:
        """Nothing of these partitions is committed any more."""
        for partition in partitions:
            self._offsets.pop(partition, None)
