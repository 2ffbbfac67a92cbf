from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.errors import StateError
from stream.state.changelog import (
    PARTITION_KEY,
    Changelog,
    Changes,
    Checkpoint,
    End,
    Ended,
    Patients,
    TopicIds,
    _checks,
)
from stream.stays.record import STAY

HASH = "0123456789abcdef" * 4
SIZE = 7
IDS = st.lists(st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace")), unique=True, max_size=5)


def codec(model_hash: str = HASH, size: int = SIZE) -> Changelog:
    return Changelog("states", model_hash, size)


@st.composite
def some_patients(draw: st.DrawFn) -> Patients:
    ids = draw(IDS)
    count = len(ids)
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
    stays = np.zeros(count, STAY)
    for name in ("next_offset", "events", "closed_at", "recent", "measured_at"):
        stays[name] = draw(arrays(stays[name].dtype, stays[name].shape))
    texts = st.sampled_from([b"", b'["e1","","b"]', '["","é\u2028","%"]'.encode()])
    rows = draw(arrays(np.float32, (count, SIZE), elements=finite))
    return Patients(ids, rows, stays, draw(st.lists(texts, min_size=count, max_size=count)))


def latest(
    changes: list[Changes],
    checkpoints: dict[int, Checkpoint],
    ended: Ended | None = None,
    records: int | None = None,
) -> dict[bytes, bytes]:
    """What is left of each key after all records, or after the first `records` of them."""
    out = codec().encode(changes, checkpoints, ended)
    found: dict[bytes, bytes] = {}
    for key, value in list(zip(out.keys, out.values, strict=True))[:records]:
        assert key is not None
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


@given(some_patients(), st.integers(0, 2**62), st.integers(0, 2**62))
def test_what_is_written_is_read_bit_by_bit(patients: Patients, offset: int, stream_time: int) -> None:
    partitions = np.full(len(patients), 3, np.int32)
    records = latest([Changes(patients, partitions)], {3: Checkpoint(offset, stream_time)})
    read = codec().patients(records)
    assert read.ids == patients.ids
    assert read.rows.tobytes() == patients.rows.tobytes()
    assert read.stays.tobytes() == patients.stays.tobytes()
    assert read.texts == patients.texts
    assert codec().checkpoint(records) == Checkpoint(offset, stream_time)


def one(identity: bytes = b"p1") -> Patients:
    rows = np.arange(SIZE, dtype=np.float32)[None]
    stays = np.zeros(1, STAY)
    stays["expires_at"] = stays["next_offset"] = 1
    return Patients([identity], rows, stays, [b'["e1","icu",""]'])


def test_an_end_goes_around_the_mark_so_that_no_prefix_forgets_what_was_applied() -> None:
    begun, end = Changes(one(), np.zeros(1, np.int32)), {(0, b"p1"): End(7, 70)}
    prefixes = [latest([begun], {0: Checkpoint(9, 90)}, end, records) for records in range(5)]
    assert [codec().checkpoint(prefix) for prefix in prefixes] == [
        None,
        None,
        None,
        Checkpoint(9, 90),
        Checkpoint(9, 90),
    ]
    assert [codec().patients(prefix).ids for prefix in prefixes] == [[], [b"p1"], [], [], []]
    ends = [codec().ended(prefix) for prefix in prefixes]
    assert ends == [{}, {}, {b"p1": End(7, 70)}, {b"p1": End(7, 70)}, {}]


def test_partitions_are_those_of_the_changes_and_the_marks() -> None:
    out = codec().encode([Changes(one(), np.array([2], np.int32))], {5: Checkpoint(1, 2)})
    assert out.partitions is not None
    assert out.partitions.tolist() == [2, 5]
    assert out.keys == [b"p1", PARTITION_KEY]


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    records = latest([Changes(one(), np.zeros(1, np.int32))], {0: Checkpoint(7, 8)})
    for key in (b"p1", PARTITION_KEY):
        value = bytearray(records[key])
        value[place % len(value)] ^= 1 << bit
        spoiled = records | {key: bytes(value)}
        with pytest.raises(StateError):
            codec().patients(spoiled) if key == b"p1" else codec().checkpoint(spoiled)


def test_a_refusal_says_why_and_what_to_do() -> None:
    records = latest([Changes(one(b"ZQ7"), np.zeros(1, np.int32))], {})
    other = codec("f" * 64)
    with pytest.raises(StateError, match=r"of model 0123456789abcdef, this worker has ffff.*application_id"):
        other.patients(records)
    (value,) = records.values()
    for version, size in ((99, len(value)), (1, len(value) - 408), (2, len(value) - 16)):
        strange = value[:4] + version.to_bytes(2, "little") + value[6:size]
        refusal = rf"version {version}, this release does not read it: run the release.*new application_id"
        with pytest.raises(StateError, match=refusal):
            codec().patients({b"ZQ7": strange})
    with pytest.raises(StateError, match="not written by vitalstream"):
        codec().patients({b"ZQ7": b"{}"})
    with pytest.raises(StateError, match="damaged") as told:
        codec().patients({b"ZQ7": value[:-1] + bytes([value[-1] ^ 1])})
    with pytest.raises(StateError, match="damaged"):
        codec().patients({b"ZQ7": value[:-8]})
    assert "ZQ7" not in str(told.value)


INPUT, OWN = "T-6AFJnvS1uUeOPj4ZPtBw", "_dGeXSIdT92NOadxB86bCQ"


def test_a_mark_keeps_the_ids_of_the_topics() -> None:
    changelog = Changelog("states", HASH, SIZE, TopicIds(INPUT, OWN))
    (value,) = changelog.encode([], {0: Checkpoint(7, 8)}).values
    assert value is not None
    assert codec().checkpoint({PARTITION_KEY: value}) == Checkpoint(7, 8, TopicIds(INPUT, OWN))


def test_a_mark_of_an_earlier_release_is_read_and_has_no_ids() -> None:
    head = b"VSST" + struct.pack("<HHQ", 1, 1, int(HASH[:16], 16))
    record = np.frombuffer(
        head + struct.pack("<qqQ", 7, 8, 0), [("words", "<u8", 4), ("check", "<u8")]
    ).copy()
    record["check"] = _checks(record)
    assert codec().checkpoint({PARTITION_KEY: record.tobytes()}) == Checkpoint(7, 8, TopicIds("", ""))
