"""A changelog and a group in memory, whose records and offsets become visible when the test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.columns.records import Outgoing, Records
from stream.errors import BrokerUnavailable, GapError
from stream.state.changelog import Changelog, Changes, Checkpoint, End, Patients
from stream.stays.record import STAY

CHANGELOG = Changelog("states", "ab" * 32, 3)
PATIENCE_S = 10.0


@dataclass
class Cluster:
    """What is visible now. log: of each partition, keys and values of the changelog."""

    log: dict[int, list[tuple[bytes, bytes | None]]] = field(default_factory=lambda: {0: [], 1: []})
    offsets: dict[int, int] = field(default_factory=dict)
    begin: int = 0
    end: int = 1000
    input_partitions: int = 2
    state_partitions: int = 2
    away: int = 0
    gap: bool = False
    assigned: list[dict[int, int]] = field(default_factory=list)
    readers: list[MemoryReader] = field(default_factory=list)

    def write(self, outgoing: Outgoing) -> None:
        assert outgoing.partitions is not None
        rows = zip(outgoing.partitions.tolist(), outgoing.keys, outgoing.values, strict=True)
        for partition, key, value in rows:
            self.log[partition].append((key or b"", value))

    def epoch(
        self,
        offset: int,
        *patients: bytes,
        ended: Sequence[bytes] = (),
        partition: int = 0,
        next_offset: int = 0,
    ) -> None:
        """An epoch's changelog; its offsets are for the test to commit. next_offset: of the patients."""
        changed = states(*patients)
        changed.stays["next_offset"] = next_offset
        changes = [Changes(changed, np.full(len(patients), partition, np.int32))]
        ends = {(partition, patient): End(offset, 10 * offset) for patient in ended}
        self.write(CHANGELOG.encode(changes, {partition: Checkpoint(offset, 10 * offset)}, ends))


def states(*ids: bytes) -> Patients:
    count = len(ids)
    rows = np.array([[len(one), 0, 0] for one in ids], np.float32).reshape(count, 3)
    return Patients(list(ids), rows, np.zeros(count, STAY), [b""] * count)


class MemoryReader:
    """A `Reader` of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        if cluster.away:
            cluster.away -= 1
            raise BrokerUnavailable("nobody answers")
        self._cluster = cluster
        cluster.readers.append(self)
        self._at: dict[int, int] = {}

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        if offsets:
            self._cluster.assigned.append(dict(offsets))
        self._changelog = topic == CHANGELOG.topic
        self._at = dict(offsets)

    def poll(self, max_records: int, timeout: float) -> Records:
        if self._cluster.gap:
            self._cluster.gap = False
            raise GapError("states", 0)
        for partition, at in self._at.items():
            if rows := self._cluster.log[partition][at:][:2]:
                self._at[partition] += len(rows)
                keys, values = [key for key, _ in rows], [value for _, value in rows]
                offsets = at + np.arange(len(rows))
                partitions = np.full(len(rows), partition, np.int32)
                return Records("states", values, keys, partitions, offsets, np.zeros(len(rows), np.int64))
        time.sleep(0.005)
        return Records("states", [], [], np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def read_all(self) -> bool:
        return bool(self._at) and self.ended() == self._at.keys()

    def ended(self) -> set[int]:
        return {one for one, at in self._at.items() if at == len(self._cluster.log[one])}

    def partition_count(self, topic: str) -> int:
        return self._cluster.input_partitions if topic == "in" else self._cluster.state_partitions

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {one: at for one, at in self._cluster.offsets.items() if one in partitions}

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0 if self._changelog else self._cluster.begin)

    def lag(self) -> dict[int, int]:
        return {one: len(self._cluster.log[one]) - at for one, at in self._at.items()}

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self._cluster.end)

    def close(self) -> None: ...


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)
