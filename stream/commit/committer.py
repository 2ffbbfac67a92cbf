"""Committer: ends an epoch. What the events did to the state, and how far the input was read, become durable
together with what was sent of them.

exactly_once: one Kafka transaction holds the scores, the dead letters, the changelog records and the
input offsets (KIP-447).

at_least_once: outputs are acknowledged, then the changelog, then the offsets are committed;
a worker that dies in between scores some events again, under the same ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stream.columns.records import Outgoing
from stream.errors import CommitError
from stream.failpoints import reach
from stream.state.changelog import Changelog, Changes, Checkpoint, End

FLUSH_TIMEOUT_S = 10.0
MEMBERSHIP_S = 3.0
"""Half of the shortest session that a broker allows by default (`group.min.session.timeout.ms`)."""
MANY = 1024
SELDOM = 8
"""Changes are sent before the epoch ends if there are `MANY`, of at most one in `SELDOM` of the patients
and of no more than two events each: few of them will change again, so the final flush is short."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What ends together. changelog: makes its last records, called once. offsets: of the next input records.
    before: the offsets that were durable when the epoch began. on_committed: called once all of it is
    durable, on the thread inside a call of the guarantee."""

    changelog: Callable[[], Outgoing]
    offsets: Mapping[int, int]
    before: Mapping[int, int] = field(default_factory=dict)
    on_committed: Callable[[], None] | None = None


class Guarantee(Protocol):
    """How an epoch ends."""

    def end_epoch(self, epoch: Epoch) -> None:
        """Make the epoch's changelog durable with all that was sent, and then, or with them, its offsets; it
        may go on after the return. Raises `EpochError` if that failed or nobody knows."""

    def log_ahead(self, changelog: Callable[[], Outgoing]) -> None:
        """Send these records before the epoch ends, if they may become durable with it alone. `changelog` is
        called once or not at all. Raises `EpochError`."""

    def settle(self) -> None:
        """Wait until the last epoch is durable. Raises `EpochError` if it is not."""


class StateChanges(Protocol):
    """What the committer needs of `stream.state.store.StateStore`."""

    @property
    def changed(self) -> int: ...
    @property
    def resident(self) -> int: ...
    def stream_time(self, partition: int) -> int: ...
    def take_changes(self) -> tuple[list[Changes], dict[tuple[int, bytes], End]]: ...


class Outputs(Protocol):
    """What the committer needs of a sink."""

    def send(self, outgoing: Outgoing) -> None: ...
    def flush(self, timeout: float) -> None: ...


class Transactions(Protocol):
    """What the committer needs of a transactional sink."""

    def send(self, outgoing: Outgoing) -> None: ...
    def flush(self, timeout: float) -> None: ...
    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None,
    ) -> None: ...


class ExactlyOnce:
    """A `Guarantee`. group_metadata: as `Source.group_metadata`; topic: the input's."""

    def __init__(self, sink: Transactions, topic: str, group_metadata: Callable[[], Any]) -> None:
        self._sink, self._topic, self._group_metadata = sink, topic, group_metadata

    def end_epoch(self, epoch: Epoch) -> None:
        group = self._group_metadata()
        self._sink.commit(self._topic, epoch.offsets, group, epoch.changelog, epoch.on_committed)

    def log_ahead(self, changelog: Callable[[], Outgoing]) -> None:
        self._sink.send(changelog())

    def settle(self) -> None:
        self._sink.flush(FLUSH_TIMEOUT_S)


class AtLeastOnce:
    """A `Guarantee`. commit, committed: as those of `Source`.

    A worker that stood still for long may have been replaced without knowing it yet, and no transaction
    fences it: its states would overwrite newer ones. After `MEMBERSHIP_S` without a commit the group is asked
    first, by committing once more what is committed; of a partition that the worker began, nothing may be.
    A worker that stands still between that answer and its states is not found out.
    """

    def __init__(
        self,
        sink: Outputs,
        commit: Callable[[Mapping[int, int]], None],
        committed: Callable[[Sequence[int]], Mapping[int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._commit, self._committed, self._clock = sink, commit, committed, clock
        self._member_at = float("-inf")

    def end_epoch(self, epoch: Epoch) -> None:
        self._sink.flush(FLUSH_TIMEOUT_S)
        if self._clock() - self._member_at > MEMBERSHIP_S:
            self._ask_the_group(epoch)
        self._sink.send(epoch.changelog())
        self._sink.flush(FLUSH_TIMEOUT_S)
        reach("changelog_sent")
        asked = self._clock()
        self._commit(epoch.offsets)
        self._member_at = asked
        if epoch.on_committed:
            epoch.on_committed()
        reach("offsets_sent")
        reach("committed")

    def _ask_the_group(self, epoch: Epoch) -> None:
        begun = sorted(epoch.offsets.keys() - epoch.before.keys())
        if begun and self._committed(begun):
            raise CommitError("another member has committed partitions that this one began")
        if epoch.before:
            self._commit(epoch.before)

    def log_ahead(self, changelog: Callable[[], Outgoing]) -> None:
        """Not here: a state that is durable before its scores would have them lost."""

    def settle(self) -> None: ...


class Committer:
    """Ends an epoch every `interval` seconds, as near as micro-batches allow, or after `max_events`.

    epochs: how many are known to be durable.
    """

    def __init__(
        self,
        guarantee: Guarantee,
        states: StateChanges,
        changelog: Changelog,
        interval: float,
        max_events: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guarantee, self._states, self._changelog = guarantee, states, changelog
        self._interval, self._max_events, self._clock = interval, max_events, clock
        self.epochs = 0
        self._offsets: dict[int, int] = {}
        self._durable: dict[int, int] = {}
        self._events = self._unlogged = 0
        self._last = clock()

    @property
    def open(self) -> bool:
        """Whether anything is in the epoch."""
        return bool(self._offsets)

    def begin(self, partition: int, offset: int, committed: bool) -> None:
        """A partition is read from here on; its state says so, and the group's offset too if `committed`: if
        not, the next epoch commits it."""
        self._durable[partition] = offset
        if not committed:
            self._offsets[partition] = offset

    def add(self, offsets: Mapping[int, int], events: int) -> None:
        """A micro-batch is in the epoch, stepped and sent. offsets: of the next record of each partition."""
        self._offsets |= offsets
        self._events += events
        self._unlogged += events

    def commit_if_due(self) -> None:
        """`commit`, if the interval has passed or enough events have gathered. Raises `EpochError`."""
        waited = self._clock() - self._last
        if self._offsets and (waited >= self._interval or self._events >= self._max_events):
            self.commit()
        elif self._unlogged >= MANY and self._pays_to_log_ahead():
            self._guarantee.log_ahead(lambda: self._records({}))
            self._unlogged = 0

    def commit(self) -> None:
        """End the epoch, if anything is in it. Raises `EpochError`, of this epoch or the one before: then
        nothing in memory may be trusted."""
        late = self._clock() - self._last - self._interval
        if self._offsets:
            reach("before_changelog")
            checkpoints = {
                partition: Checkpoint(offset, self._states.stream_time(partition))
                for partition, offset in self._offsets.items()
            }
            before = {
                partition: offset for partition, offset in self._durable.items() if partition in self._offsets
            }
            self._guarantee.end_epoch(
                Epoch(lambda: self._records(checkpoints), self._offsets, before, self._committed)
            )
        self._durable |= self._offsets
        self._offsets = {}
        self._last = self._last + self._interval if 0 <= late < self._interval else self._clock()
        self._events = self._unlogged = 0

    def settle(self) -> None:
        """End the epoch and wait until it is durable. Raises `EpochError`."""
        self.commit()
        self._guarantee.settle()

    def forget(self, partitions: Iterable[int]) -> None:
        """Nothing of these partitions is committed any more."""
        for partition in partitions:
            self._offsets.pop(partition, None)
            self._durable.pop(partition, None)

    def _committed(self) -> None:
        self.epochs += 1

    def _pays_to_log_ahead(self) -> bool:
        changed = self._states.changed
        return MANY <= changed <= self._states.resident // SELDOM and self._unlogged <= 2 * changed

    def _records(self, checkpoints: Mapping[int, Checkpoint]) -> Outgoing:
        changes, ended = self._states.take_changes()
        return self._changelog.encode(changes, checkpoints, ended)
