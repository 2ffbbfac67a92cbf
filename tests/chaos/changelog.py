"""Reads the state changelog by its documented layout, with nothing of `stream`.

patient    magic u4 | version u2 = 1 | kind u2 = 0 | model u8 | stay 6 i8 | digest u8 | row D f4 | check u8
partition  magic u4 | version u2 = 2 | kind u2 = 1 | model u8 | next offset i8 | stream time i8
           | input's id 16 bytes | changelog's id 16 bytes | check u8
ended      as partition, version 1, without ids, kind u2 = 2, under the patient's key: as if it were gone
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.chaos.reading import Row

PATIENT, PARTITION, ENDED = 0, 1, 2
PARTITION_KEY = b"\xffpartition"
HEAD = struct.Struct("<4sHHQ")
STAY = struct.Struct("<6qQ")
MARK = struct.Struct("<qq16s16sQ")
CHECK_BYTES = 8
STAY_FIELDS = ("started_at", "observed_at", "seen_at", "next_offset", "events", "admitted", "digest")


class State(NamedTuple):
    """stay: as `STAY_FIELDS`. row: float32 [D], with four bytes of zero at the end where D is odd."""

    model: int
    stay: tuple[int, ...]
    row: NDArray[np.float32]


class Mark(NamedTuple):
    next_offset: int
    stream_time: int


@dataclass
class Final:
    """What a changelog says at its end. patients: by partition and id. records: how many there were."""

    patients: dict[tuple[int, bytes], State] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    records: int = 0


def final(rows: Iterable[Row]) -> Final:
    """The last value of each key; a tombstone takes its key away."""
    latest: dict[tuple[int, bytes], bytes] = {}
    found = Final()
    for row in rows:
        found.records += 1
        assert row.key is not None, f"a record without a key at {row.partition}/{row.offset}"
        if row.value is None:
            latest.pop((row.partition, row.key), None)
        else:
            latest[row.partition, row.key] = row.value
    for (partition, key), value in latest.items():
        if key == PARTITION_KEY:
            found.marks[partition] = _mark(value)
        elif HEAD.unpack_from(value)[2] != ENDED:
            found.patients[partition, key] = _state(value)
    return found


def _head(value: bytes, kind: int) -> int:
    magic, version, found, model = HEAD.unpack_from(value)
    assert (magic, version, found) == (b"VSST", 1 + kind, kind), f"no record of kind {kind}: {value[:16]!r}"
    return int(model)


def _state(value: bytes) -> State:
    model = _head(value, PATIENT)
    begin = HEAD.size + STAY.size
    row = np.frombuffer(value[begin:-CHECK_BYTES], "<f4")
    return State(model, STAY.unpack_from(value, HEAD.size), row)


def _mark(value: bytes) -> Mark:
    _head(value, PARTITION)
    next_offset, stream_time, *_ = MARK.unpack_from(value, HEAD.size)
    return Mark(next_offset, stream_time)
