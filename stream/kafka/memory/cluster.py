"""The part of Kafka that is not a client: logs, a consumer group, transactional ids. All in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stream.columns.records import Headers, Outgoing
from stream.errors import CommitError


class Died(Exception):
    """A producer is gone in the middle of its records."""


Outcome = Literal["committed", "refused", "unknown"]


class Member(Protocol):
    """What the group needs of a `MemorySource`.

    news: what the group has decided and the member has not heard yet: `assigned`, `revoked` or `lost`, the
    partition, and who is to have it next. owned: the partitions that it knows to be its own. alive:
    false once it has died or is closed."""

    news: list[tuple[str, int, Member | None]]
    owned: set[int]
    alive: bool


@dataclass(frozen=True)
class Record:
    """A record in a log. timestamp: ms since the Unix epoch."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    timestamp: int = 0


@dataclass
class Cluster:
    """A Kafka of one consumer group. What it does not do by itself, such as giving a partition to another
    member, its user does.

    partitions: how many every topic has. input: the topic whose offsets the group commits. logs: the
    committed records of each partition of each topic. offsets: those that the group has committed. owners:
    the member that has each partition. epochs: of the transactional ids; a new one fences the producers
    before it.

    Faults that its user may set: next_commits, what becomes of the next commits, each `committed`, `refused`
    or `unknown` (committed, but the client does not hear it). torn: how many records of the next send to a
    changelog a `MemorySink` delivers before it raises `Died`.
    """

    partitions: int
    input: str
    logs: dict[str, list[list[Record]]] = field(init=False)
    offsets: dict[int, int] = field(default_factory=dict)
    owners: dict[int, Member] = field(default_factory=dict)
    next_commits: list[Outcome] = field(default_factory=list)
    torn: int | None = None
    epochs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.logs = defaultdict(lambda: [[] for _ in range(self.partitions)])

    def produce(self, partition: int, key: bytes, value: bytes, timestamp: int = 0) -> int:
        """Append an input record; its offset."""
        self.logs[self.input][partition].append(Record(partition, key, value, timestamp=timestamp))
        return len(self.logs[self.input][partition]) - 1

    def append(self, topic: str, records: Sequence[Record]) -> None:
        """Append to the partitions that the records name."""
        for record in records:
            self.logs[topic][record.partition].append(record)

    def commit_offsets(self, offsets: Mapping[int, int], member: Member) -> None:
        """Raises `CommitError` as the group's coordinator does for a client that is no longer a member."""
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

    @staticmethod
    def heirs(member: Member) -> dict[int, Member]:
        """Who is to have the partitions that the member has been told to give up, and still has."""
        return {partition: heir for _, partition, heir in member.news if heir is not None}

    def take_all(self, member: Member) -> None:
        """The member's session is over: it learns it in its next poll."""
        mine = [partition for partition, owner in self.owners.items() if owner is member]
        heirs = self.heirs(member)
        member.news = [("lost", partition, None) for partition in sorted(member.owned)]
        for partition in mine:
            del self.owners[partition]
            self.give(partition, heirs.get(partition))


def rows(outgoing: Outgoing) -> list[Record]:
    """The records, one by one. Their partitions are given: nothing is partitioned here."""
    assert outgoing.partitions is not None
    columns = outgoing.partitions.tolist(), outgoing.keys, outgoing.values
    headers: Sequence[Headers | None] = outgoing.headers or [None] * len(outgoing)
    times = [0] * len(outgoing) if outgoing.timestamps is None else outgoing.timestamps.tolist()
    return [Record(*row) for row in zip(*columns, headers, times, strict=True)]
