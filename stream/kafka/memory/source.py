"""A source on a cluster in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream.columns.records import HeaderColumn, Records
from stream.errors import CommitError
from stream.kafka.memory.cluster import Cluster, Member, Record
from stream.kafka.source import EARLIEST, END, RebalanceListener


class MemorySource:
    """A `Source` in the group, or outside of it with `assign`. `poll` runs what the group has decided,
    returns what is there, and never waits."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.news: list[tuple[str, int, Member | None]] = []
        self.owned: set[int] = set()
        self.alive = True
        self._listener: RebalanceListener | None = None
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._topic, self._held = "", False

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self._topic, self._listener, self._held = topic, listener, held

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        self._topic = topic
        self._positions = self._resolved(offsets)

    def hold(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def start(self, offsets: Mapping[int, int]) -> None:
        self._positions |= self._resolved(offsets)

    def poll(self, max_records: int, timeout: float) -> Records:
        while self.news:
            self._hear(*self.news.pop(0))
        rows: list[tuple[int, int, Record]] = []
        for partition, position in self._positions.items():
            if partition in self._paused:
                continue
            log = self.cluster.logs[self._topic][partition]
            taken = log[position : position + max_records - len(rows)]
            rows += [(partition, position + place, record) for place, record in enumerate(taken)]
            self._positions[partition] = position + len(taken)
        return Records(
            self._topic,
            [record.value for _, _, record in rows],
            [record.key for _, _, record in rows],
            np.array([partition for partition, _, _ in rows], np.int32),
            np.array([offset for _, offset, _ in rows], np.int64),
            np.array([record.timestamp for _, _, record in rows], np.int64),
            HeaderColumn([record for _, _, record in rows], lambda record: record.headers or []),
        )

    def _resolved(self, offsets: Mapping[int, int]) -> dict[int, int]:
        ends = self.end_offsets(list(offsets))
        named = {EARLIEST: dict.fromkeys(offsets, 0), END: ends}
        return {partition: named.get(offset, offsets)[partition] for partition, offset in offsets.items()}

    def _hear(self, what: str, partition: int, successor: Member | None) -> None:
        assert self._listener is not None
        if what == "assigned":
            self.owned.add(partition)
            if not self._held:
                self._positions[partition] = self.cluster.offsets.get(partition, 0)
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
        committed = self.cluster.offsets
        return {partition: committed[partition] for partition in partitions if partition in committed}

    def lag(self) -> dict[int, int]:
        ends = self.end_offsets(list(self._positions))
        return {partition: ends[partition] - offset for partition, offset in self._positions.items()}

    def ended(self) -> set[int]:
        ends = self.end_offsets(list(self._positions))
        return {partition for partition, offset in self._positions.items() if offset >= ends[partition]}

    def pause(self, partitions: Sequence[int]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._paused.difference_update(partitions)

    def partition_count(self, topic: str) -> int:
        return self.cluster.partitions

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        logs = self.cluster.logs[self._topic]
        return {partition: len(logs[partition]) for partition in partitions}

    def close(self) -> None:
        if self._listener is None:
            return
        heirs = self.cluster.heirs(self)
        self.news = [("revoked", partition, heirs.get(partition)) for partition in sorted(self.owned)]
        try:
            while self.news:
                self._hear(*self.news.pop(0))
        finally:
            self.die()
