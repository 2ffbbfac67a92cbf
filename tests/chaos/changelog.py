"""Reads the state changelog by its documented layout, with nothing of `stream`.

patient    magic u4 | version u2 = 3 | kind u2 = 0 | model u8
           | stay 15 i8, 5 u8, 32 u4, 32 u2, 9 i8, 9 f4, u1, 3 bytes
           | row D f4 | hash of the texts u8 | check u8 | texts
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
import xxhash
from numpy.typing import NDArray

from tests.chaos.reading import Row

PATIENT, PARTITION, ENDED = 0, 1, 2
VERSIONS = {PATIENT: 3, PARTITION: 2}
PARTITION_KEY = b"\xffpartition"
HEAD = struct.Struct("<4sHHQ")
STAY = struct.Struct("<15q5Q32I32H9q9f?3x")
MARK = struct.Struct("<qq16s16sQ")
HASH, CHECK_BYTES = struct.Struct("<Q"), 16
TIMES = ("started_at", "earliest_at", "observed_at", "expires_at", "next_offset", "events")
STAY_FIELDS = (
    *TIMES,
    *(
        "admitted_at",
        "described_at",
        "closed_at",
        "cancelled_at",
        "floor",
        "unit_at",
        "bed_at",
        "remembered",
        "left_at",
    ),
    *("encounter", "unit", "bed", "left", "closed_of"),
    *(f"{name} {place}" for name in ("recent", "recent_high") for place in range(32)),
    *(f"{name} {place}" for name in ("measured_at", "vitals") for place in range(9)),
    "named",
)


class State(NamedTuple):
    """stay: as `STAY_FIELDS`. row: float32 [D], with four bytes of zero at the end where D is odd. texts: of
    encounter, unit and bed."""

    model: int
    stay: tuple[int, ...]
    row: NDArray[np.float32]
    texts: bytes


class Checkpoint(NamedTuple):
    next_offset: int
    stream_time: int


@dataclass
class Final:
    """What a changelog says at its end. patients: by partition and id. records: how many there were."""

    patients: dict[tuple[int, bytes], State] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
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
            found.checkpoints[partition] = _checkpoint(value)
        elif HEAD.unpack_from(value)[2] != ENDED:
            found.patients[partition, key] = _state(value)
    return found


def _head(value: bytes, kind: int) -> int:
    magic, version, found, model = HEAD.unpack_from(value)
    assert (magic, version, found) == (b"VSST", VERSIONS[kind], kind), (
        f"no record of kind {kind}: {value[:16]!r}"
    )
    return int(model)


def _state(value: bytes) -> State:
    model = _head(value, PATIENT)
    texts = _texts(value)
    row = np.frombuffer(value[HEAD.size + STAY.size : len(value) - len(texts) - CHECK_BYTES], "<f4")
    return State(model, STAY.unpack_from(value, HEAD.size), row, texts)


def _texts(value: bytes) -> bytes:
    """What stands after the checks, a JSON list, if it is what the first of them says."""
    begin = value.rfind(b'["')
    (expected,) = HASH.unpack_from(value, max(begin - CHECK_BYTES, 0))
    return value[begin:] if xxhash.xxh3_64_intdigest(value[begin:]) == expected else b""


def _checkpoint(value: bytes) -> Checkpoint:
    _head(value, PARTITION)
    next_offset, stream_time, *_ = MARK.unpack_from(value, HEAD.size)
    return Checkpoint(next_offset, stream_time)
