from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.publish import dead_letters
from stream.records import Code, Records, Refused

NAMES = ["code", "stage", "topic", "partition", "offset", "at"]
blobs = st.none() | st.binary(max_size=40)


@st.composite
def refusals(draw: st.DrawFn) -> Refused:
    rows = draw(st.lists(st.tuples(blobs, blobs, st.integers(0, 99), st.integers(0, 2**60)), max_size=6))
    values, keys, partitions, offsets = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    )
    records = Records(
        draw(st.sampled_from(["in", "vitals.observations.v1"])),
        values,
        keys,
        np.array(partitions, np.int32),
        np.array(offsets, np.int64),
        np.zeros(len(rows), np.int64),
    )
    picked = draw(st.lists(st.sampled_from(range(len(rows))), unique=True)) if rows else []
    codes = [draw(st.sampled_from(list(Code))) for _ in picked]
    return Refused(records, picked, codes, draw(st.sampled_from(["decode", "state", "step"])))


@given(refusals(), st.integers(0, 2**45))
def test_bytes_and_keys_are_unchanged_and_headers_say_only_where_and_why(refused: Refused, at: int) -> None:
    records = refused.records
    outgoing = dead_letters.encode(refused, "dead", at, 1000)
    assert outgoing.topic == "dead"
    assert outgoing.values == [records.values[row] for row in refused.rows]
    assert outgoing.keys == [records.keys[row] for row in refused.rows]
    assert outgoing.partitions is not None
    assert outgoing.headers is not None
    assert outgoing.partitions.tolist() == [records.partitions[row] for row in refused.rows]
    for row, code, headers in zip(refused.rows, refused.codes, outgoing.headers, strict=True):
        told = [code, refused.stage, records.topic, records.partitions[row], records.offsets[row], at]
        assert headers == [
            (f"vitalstream.error.{name}", str(value).encode())
            for name, value in zip(NAMES, told, strict=True)
        ]


@given(st.binary(max_size=30), st.none() | st.binary(max_size=30), st.integers(0, 60))
def test_what_the_topic_might_not_take_goes_without_its_value(
    value: bytes, key: bytes | None, most: int
) -> None:
    zeros = np.zeros(1, np.int64)
    records = Records("in", [value], [key], zeros.astype(np.int32), zeros, zeros)
    letter = dead_letters.encode(Refused(records, [0], [Code.TOO_LARGE], "decode"), "dead", 1, most)
    assert letter.headers is not None
    told = dict(letter.headers[0]).get("vitalstream.error.value_bytes")
    if len(value) + len(key or b"") <= most:
        assert (letter.values, letter.keys, told) == ([value], [key], None)
    else:
        assert letter.values == [None]
        assert letter.keys == [key if len(key or b"") <= most else None]
        assert told == b"%d" % len(value)
