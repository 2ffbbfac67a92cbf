"""Replica: what a changelog partition says as far as it was read. What restoring and standing by share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.columns.records import Records

EARLIEST = -2
POLL_RECORDS = 20_000
POLL_S = 0.1


class Reader(Protocol):
    """What is needed of a source that reads given partitions of a topic."""

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None: ...
    def poll(self, max_records: int, timeout: float) -> Records: ...
    def partition_count(self, topic: str) -> int: ...
    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]: ...
    def lag(self) -> dict[int, int]: ...
    def close(self) -> None: ...


@dataclass(slots=True, repr=False)
class Replica:
    """latest: the last value of each key that has one. offset: of the next record to read."""

    latest: dict[bytes, bytes] = field(default_factory=dict)
    offset: int = EARLIEST


def read_on(reader: Reader, topic: str, replicas: Mapping[int, Replica]) -> None:
    """Let `reader` read each partition from the position of its replica. Blocks while it asks for the first
    offsets."""
    reader.assign(topic, {})
    unread = [partition for partition, replica in replicas.items() if replica.offset == EARLIEST]
    for partition, offset in reader.beginning_offsets(unread).items():
        replicas[partition].offset = offset
    reader.assign(topic, {partition: replica.offset for partition, replica in replicas.items()})


def fold(records: Records, replicas: Mapping[int, Replica]) -> None:
    """Take records in. Tombstones take their key away; those of partitions without a replica are left out."""
    partitions = records.partitions.tolist()
    for partition, key, value in zip(partitions, records.keys, records.values, strict=True):
        if key is None or (replica := replicas.get(partition)) is None:
            continue
        if value is None:
            replica.latest.pop(key, None)
        else:
            replica.latest[key] = value
    for partition, offset in _last_offsets(partitions, records.offsets.tolist()):
        if partition in replicas:
            replicas[partition].offset = offset + 1


def _last_offsets(partitions: Iterable[int], offsets: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Records of one partition stand in offset order: the last counts."""
    return dict(zip(partitions, offsets, strict=True)).items()
