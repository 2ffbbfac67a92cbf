"""A Kafka in memory, for the worker's loop: partitions, a consumer group, and transactions as their readers
see them. What it does not do by itself, such as giving a partition to another member, a test does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream.columns.records import Headers, Outgoing, Records
from stream.connection import Connection
from stream.errors import CommitError
from stream.kafka.source import RebalanceListener

EARLIEST = -2


class Died(Exception):
    """A producer is gone in the middle of its records."""


@dataclass(frozen=True)
class Record:
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


@dataclass
class Cluster:
    """logs: the committed records of each partition of each topic. next_commits: what becomes of the next
    commits, each `committed`, `refused` or `unknown` (committed, but the client does not hear it)."""

    partitions: int
    input: str
    logs: dict[str, list[list[Record]]] = field(init=False)
    offsets: dict[int, int] = field(default_factory=dict)
    owners: dict[int, Member] = field(default_factory=dict)
    next_commits: list[str] = field(default_factory=list)
    torn: int | None = None
    epochs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.logs = defaultdict(lambda: [[] for _ in range(self.partitions)])

    def produce(self, partition: int, key: bytes, value: bytes) -> int:
        """Append an input record; its offset."""
        self.logs[self.input][partition].append(Record(partition, key, value))
        return len(self.logs[self.input][partition]) - 1

    def append(self, topic: str, records: Sequence[Record]) -> None:
        for record in records:
            self.logs[topic][record.partition].append(record)

    def commit_offsets(self, offsets: Mapping[int, int], member: Member) -> None:
        """Raises `CommitError` as the group's coordinator does for who is no member any more."""
        if any(self.owners.get(partition) is not member for partition in offsets):
            raise CommitError("the member is not known any more")
        self.offsets |= offsets

    def give(self, partition: int, member: Member | None) -> None:
        """Let the group move a partition: its owner gives it up first, in its next poll."""
        owner = self.owners.get(partition)
        if owner is member or (member is not None and not member.alive):
            return
        if owner is not None:
            owner.news.append(("revoked", partition, member))
        elif member is not None:
            self.owners[partition] = member
            member.news.append(("assigned", partition, None))

    def take_all(self, member: Member) -> None:
        """The member's session is over: it learns it in its next poll."""
        mine = [partition for partition, owner in self.owners.items() if owner is member]
        member.news = [("lost", partition, None) for partition in sorted(member.owned)]
        for partition in mine:
            del self.owners[partition]


class Member:
    """A `Source` in the group, or outside of it with `assign`. Polling runs what the group has decided."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.news: list[tuple[str, int, Member | None]] = []
        self.owned: set[int] = set()
        self.alive = True
        self._listener: RebalanceListener | None = None
        self._positions: dict[int, int] = {}
        self._topic = ""

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self._topic, self._listener = topic, listener

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        self._topic, self._positions = topic, {one: max(at, 0) for one, at in offsets.items()}

    def hold(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def start(self, offsets: Mapping[int, int]) -> None:
        self._positions |= {one: max(at, 0) for one, at in offsets.items()}

    def poll(self, max_records: int, timeout: float) -> Records:
        while self.news:
            self._hear(*self.news.pop(0))
        rows: list[tuple[int, int, Record]] = []
        for partition, position in self._positions.items():
            log = self.cluster.logs[self._topic][partition]
            found = log[position : position + max_records - len(rows)]
            rows += [(partition, position + place, record) for place, record in enumerate(found)]
            self._positions[partition] = position + len(found)
        return Records(
            self._topic,
            [record.value for _, _, record in rows],
            [record.key for _, _, record in rows],
            np.array([partition for partition, _, _ in rows], np.int32),
            np.array([offset for _, offset, _ in rows], np.int64),
            np.zeros(len(rows), np.int64),
        )

    def _hear(self, what: str, partition: int, successor: Member | None) -> None:
        assert self._listener is not None
        if what == "assigned":
            self.owned.add(partition)
            self._listener.on_assigned([partition])
            return
        if partition not in self.owned:
            return
        try:
            (self._listener.on_lost if what == "lost" else self._listener.on_revoked)([partition])
        finally:
            self.owned.discard(partition)
            self._positions.pop(partition, None)
            if what == "revoked" and self.cluster.owners.get(partition) is self:
                del self.cluster.owners[partition]
                self.cluster.give(partition, successor)

    def die(self) -> None:
        """SIGKILL: nothing is closed, and the session is over."""
        self._listener, self.alive = None, False
        self.cluster.take_all(self)

    def assignment(self) -> list[int]:
        return sorted(self.owned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        outcome = self.cluster.next_commits.pop(0) if self.cluster.next_commits else "committed"
        if outcome != "refused":
            self.cluster.commit_offsets(offsets, self)
        if outcome != "committed":
            raise CommitError(f"the commit is {outcome}")

    def group_metadata(self) -> Any:
        return self

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {one: self.cluster.offsets[one] for one in partitions if one in self.cluster.offsets}

    def lag(self) -> dict[int, int]:
        return {}

    def ended(self) -> set[int]:
        ends = self.end_offsets(list(self._positions))
        return {one for one, at in self._positions.items() if at >= ends[one]}

    def pause(self, partitions: Sequence[int]) -> None: ...
    def resume(self, partitions: Sequence[int]) -> None: ...

    def partition_count(self, topic: str) -> int:
        return self.cluster.partitions

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return {one: len(self.cluster.logs[self._topic][one]) for one in partitions}

    def close(self) -> None:
        if self._listener is None:
            return
        self.news = [("revoked", partition, None) for partition in sorted(self.owned)]
        try:
            while self.news:
                self._hear(*self.news.pop(0))
        finally:
            self.die()


class Producer:
    """A `Sink` whose records are in the log, in order, once they are flushed or served; a crash loses what is
    queued. Of the next changelog records `cluster.torn` are delivered, and then it dies."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._queued: list[tuple[Outgoing, Callable[[], None] | None]] = []

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._queued.append((outgoing, on_acknowledged))

    def service(self) -> None:
        self._deliver()

    def flush(self, timeout: float) -> None:
        self._deliver()

    def reset(self) -> None:
        self._queued = []

    def close(self, *, flush: bool = True) -> None:
        if flush:
            self._deliver()

    def _deliver(self) -> None:
        while self._queued:
            outgoing, acknowledged = self._queued[0]
            records = rows(outgoing)
            if self._cluster.torn is not None and outgoing.topic.endswith("changelog"):
                torn, self._cluster.torn, self._queued = self._cluster.torn, None, []
                self._cluster.append(outgoing.topic, records[:torn])
                raise Died
            self._cluster.append(outgoing.topic, records)
            self._queued.pop(0)
            if acknowledged:
                acknowledged()


class Transactions:
    """A `TransactionalSink`. A transaction is visible as a whole or never; a later call answers `commit`."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster, self._id = cluster, transactional_id
        self._epoch: int | None = None
        self._records: list[tuple[str, list[Record]]] = []
        self._calls: list[Callable[[], None]] = []
        self._outcome: str | None = None

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._finish()
        self._records.append((outgoing.topic, rows(outgoing)))
        if on_acknowledged:
            self._calls.append(on_acknowledged)

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        self.send(last(), on_committed)
        outcome = self._cluster.next_commits.pop(0) if self._cluster.next_commits else "committed"
        if self._epoch != self._cluster.epochs[self._id]:
            outcome = "fenced"
        if outcome in ("committed", "unknown"):
            try:
                self._cluster.commit_offsets(offsets, group)
            except CommitError:
                outcome = "refused by the group"
            else:
                for written, records in self._records:
                    self._cluster.append(written, records)
        self._records, self._outcome = [], outcome

    def service(self) -> None:
        self._finish()

    def flush(self, timeout: float) -> None:
        self._finish()

    def reset(self) -> None:
        self._records, self._calls, self._outcome = [], [], None
        self._cluster.epochs[self._id] += 1
        self._epoch = self._cluster.epochs[self._id]

    def close(self, *, flush: bool = True) -> None:
        self._records, self._calls, self._outcome = [], [], None

    def _finish(self) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return
        calls, self._calls = self._calls, []
        if outcome != "committed":
            raise CommitError(f"the epoch is {outcome}")
        for call in calls:
            call()


def rows(outgoing: Outgoing) -> list[Record]:
    assert outgoing.partitions is not None
    headers = outgoing.headers or [None] * len(outgoing)
    columns = outgoing.partitions.tolist(), outgoing.keys, outgoing.values, headers
    return [Record(*row) for row in zip(*columns, strict=True)]


CLUSTERS: dict[str, Cluster] = {}
"""By bootstrap servers, so that settings name them."""


def make_source(connection: Connection, group: str | None = None, **options: Any) -> Member:
    return Member(CLUSTERS[connection.bootstrap_servers])


def make_sink(connection: Connection, **options: Any) -> Producer:
    return Producer(CLUSTERS[connection.bootstrap_servers])


def make_transactions(connection: Connection, **options: Any) -> Transactions:
    return Transactions(CLUSTERS[connection.bootstrap_servers], options["transactional_id"])
