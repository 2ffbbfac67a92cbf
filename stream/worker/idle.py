"""When a worker that ends by itself (`--until-idle`) may end: once its group has read the whole topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from stream.columns.records import Records
from stream.errors import BrokerError, BrokerUnavailable
from stream.worker.lifecycle import WorkerState

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 30.0
LOOK_EVERY_S = 2.0
READ_TIMEOUT_S = 10.0
POLL_S = 0.1
STALLED_S = 120.0
"""Longer than two sessions of Kafka's default (`session.timeout.ms`, 45 s)."""
RESTORING_S = 600.0
SESSIONS = "a member that died holds its partitions until its session is over"


class GroupReader(Protocol):
    """What is needed of a source made `to_end`, with the group's id, outside of group management."""

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None: ...
    def poll(self, max_records: int, timeout: float) -> Records: ...
    def ended(self) -> set[int]: ...
    def committed(self, partitions: Sequence[int]) -> dict[int, int]: ...
    def partition_count(self, topic: str) -> int: ...
    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]: ...
    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]: ...
    def close(self) -> None: ...


class Idling(Protocol):
    """What is needed of `stream.worker.pipeline.Pipeline`."""

    @property
    def state(self) -> WorkerState: ...
    @property
    def assigned(self) -> set[int]: ...
    @property
    def running(self) -> set[int]: ...
    def settle(self) -> bool: ...


class Backlog:
    """What a consumer group has not committed yet, of every partition of a topic, whoever owns it."""

    def __init__(self, make_reader: Callable[[], GroupReader], topic: str) -> None:
        self._make_reader, self._topic = make_reader, topic

    def unread(self) -> dict[int, int]:
        """For each partition with records that the group has not committed, the offset at which they begin.
        Blocks, `READ_TIMEOUT_S` at most once the broker answers. Raises `BrokerError`."""
        with closing(self._make_reader()) as reader:
            reader.assign(self._topic, {})
            partitions = range(reader.partition_count(self._topic))
            committed, firsts = reader.committed(partitions), reader.beginning_offsets(partitions)
            ends = reader.end_offsets(partitions)
            next_offsets = {part: max(committed.get(part, 0), firsts[part]) for part in partitions}
            behind = {part: offset for part, offset in next_offsets.items() if offset < ends[part]}
            return self._with_records(reader, behind) if behind else {}

    def _with_records(self, reader: GroupReader, behind: dict[int, int]) -> dict[int, int]:
        """Those in which a record follows: the end may also lie behind markers of transactions alone."""
        reader.assign(self._topic, behind)
        deadline = time.monotonic() + READ_TIMEOUT_S
        filled, open_ = set[int](), set(behind)
        while open_:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"{self._topic}: its ends did not come in time")
            filled.update(reader.poll(1, POLL_S).partitions.tolist())
            open_ -= filled | reader.ended()
        return {part: offset for part, offset in behind.items() if part in filled}


class UntilIdle:
    """Ends a worker once no record came for `quiet` seconds and its group has committed the whole topic.

    Records that other members own are waited for as long as the group gets on with them: members that died
    hold their partitions until their session is over. clock: seconds.
    """

    def __init__(self, quiet: float, backlog: Backlog, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._backlog, self._clock = quiet, backlog, clock
        self._active = self._advanced = self._began = self._ran = clock()
        self._looked = float("-inf")
        self._joined = False
        self._unread: dict[int, int] = {}
        self._restoring: set[int] = set()
        self._restored = self._began

    def reached(self, arrived: int, worker: Idling) -> bool:
        """Whether the worker may end; called after each turn, in which `arrived` records came. Blocks for a
        moment when it looks at the group. Raises `BrokerError` if the group does not get on, or no broker
        answers."""
        now = self._clock()
        self._joined = self._joined or bool(worker.assigned)
        if worker.state is not WorkerState.RUNNING:
            if now - self._ran > JOIN_TIMEOUT_S:
                raise BrokerUnavailable(f"no broker answered for {JOIN_TIMEOUT_S:.0f} s")
            return False
        self._ran = now
        joining = not self._joined and now - self._began < JOIN_TIMEOUT_S
        restoring = worker.assigned - worker.running
        if restoring != self._restoring:
            self._restoring, self._restored = set(restoring), now
        if restoring and now - self._restored > RESTORING_S:
            raise BrokerError(f"partitions {sorted(restoring)} were not restored in {RESTORING_S:.0f} s")
        if arrived or joining or restoring:
            self._active = self._advanced = now
            return False
        if now - self._active < self._quiet or now - self._looked < LOOK_EVERY_S:
            return False
        return worker.settle() and self._all_read()

    def _all_read(self) -> bool:
        try:
            unread = self._backlog.unread()
        except BrokerUnavailable as error:
            if self._clock() - self._advanced > STALLED_S:
                raise
            log.warning("the progress of the group is not known: %s", error)
            return False
        finally:
            self._looked = self._clock()
        if unread:
            self._wait_for(unread)
        return not unread

    def _wait_for(self, unread: dict[int, int]) -> None:
        """Raises `BrokerError` if the group has not got on with these for `STALLED_S`."""
        now, partitions = self._clock(), sorted(unread)
        if unread != self._unread:
            if unread.keys() != self._unread.keys():
                log.info("waiting until the group has scored partitions %s; %s", partitions, SESSIONS)
            self._unread, self._advanced = unread, now
        elif now - self._advanced > STALLED_S:
            raise BrokerError(f"for {STALLED_S:.0f} s no member scored partitions {partitions}; {SESSIONS}")
