"""Source: where records come from. One interface, one file for each client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stream.columns.records import Records
from stream.errors import BrokerUnavailable, TopicError
from stream.kafka.refusals import RIGHTS

HEARTBEAT_MS = 1000
"""A member learns of a rebalance with its next heartbeat: for Kafka's default of three seconds partitions
would rest when another member leaves."""


EARLIEST, END = -2, -1
"""Offsets that `Source.assign` takes for the first record and for the end."""
START_TIMEOUT_S = 20.0
RETRY_S = 0.2


class RebalanceListener(Protocol):
    """Called on changes of the assignment, always on the thread inside `Source.poll` or `Source.close`.

    While `on_revoked` runs the partitions are still owned and their offsets can still be committed.
    After `on_lost` they belong to another member: nothing of them may be committed.
    """

    def on_assigned(self, partitions: Sequence[int]) -> None: ...
    def on_revoked(self, partitions: Sequence[int]) -> None: ...
    def on_lost(self, partitions: Sequence[int]) -> None: ...


class Source(Protocol):
    """Reads one topic, as a member of a consumer group or from given offsets. Not thread-safe.

    Offsets are committed by `commit` alone. All methods raise `BrokerError`.
    """

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        """Join the group; partitions come through the listener on a later `poll`. They are read from their
        committed offset, or, if `held`, only once `start` gives the offsets. Blocks as `await_topic`, which
        it calls first."""

    def hold(self, partitions: Sequence[int]) -> None:
        """Return no more records of these assigned partitions until `start` gives their offsets."""

    def start(self, offsets: Mapping[int, int]) -> None:
        """Read these assigned partitions from these offsets on. Blocks for a moment."""

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Read these partitions from these offsets (-2: earliest, -1: end), outside group management."""

    def poll(self, max_records: int, timeout: float) -> Records:
        """Wait up to `timeout` seconds for the first record; then take what is there, no more than
        `max_records`. If nothing arrives, the columns are empty. Runs the listener's callbacks."""

    def pause(self, partitions: Sequence[int]) -> None:
        """Return no records of these partitions until resumed; none is skipped or repeated."""

    def resume(self, partitions: Sequence[int]) -> None: ...

    def assignment(self) -> list[int]:
        """Partitions owned now, ascending."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit for each partition the offset of the next record to read. Blocks until the broker
        has acknowledged it; raises `CommitError` (also if a partition is no longer owned)."""

    def group_metadata(self) -> Any:
        """This member as the group knows it now, for the sink of the same client to commit offsets by."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset of each partition that has one. Blocks."""

    def lag(self) -> dict[int, int]:
        """Records between the position and the end of each assigned partition, as the broker last reported.
        Partitions that are held, or of which it has reported nothing yet, are absent. Does not block."""

    def ended(self) -> set[int]:
        """The assigned partitions of a source made `to_end` that were read to their end; since then a
        partition may have grown."""

    def partition_count(self, topic: str) -> int:
        """Partitions of a topic; 0 if there is none. Blocks."""

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """Offset of the first record retained in each partition. Blocks."""

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """Offset after the last record of each partition. Blocks."""

    def close(self) -> None:
        """Revoke (through the listener), leave the group, release everything. Repeatable."""


class Asking(Protocol):
    """What `await_topic` needs of a source."""

    def partition_count(self, topic: str) -> int: ...
    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]: ...


def await_topic(source: Asking, topic: str) -> None:
    """Wait until the leader of the first partition of the source's topic answers: a client that is refused,
    or that is sent to an address at which nobody is, would wait for ever. Raises `TopicError` if it is
    missing, `BrokerUnavailable` after `START_TIMEOUT_S`, `BrokerError`."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if not source.partition_count(topic):
                raise TopicError(f"{topic}: there is no such topic, or the user may not see it ({RIGHTS})")
            source.end_offsets([0])
            return
        except BrokerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
