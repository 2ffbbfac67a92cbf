from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.columns.events import Code, Refused
from stream.columns.records import ERROR_PREFIX, HeaderColumn, Records
from stream.encode import dead_letters

NAMES = ["code", "stage", "topic", "partition", "offset", "at"]
AT = 2**45
blobs = st.none() | st.binary(max_size=40)
own_headers = st.lists(
    st.tuples(st.sampled_from(["traceparent", "vitalstream.error.code", "ä"]), blobs), max_size=3
)


@st.composite
def refusals(draw: st.DrawFn) -> Refused:
    row = st.tuples(blobs, blobs, st.integers(0, 99), st.integers(0, 2**60), st.integers(0, AT), own_headers)
    rows = draw(st.lists(row, max_size=6))
    values, keys, partitions, offsets, timestamps, headers = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 6
    )
    records = Records(
        draw(st.sampled_from(["in", "vitals.observations.v1"])),
        values,
        keys,
        np.array(partitions, np.int32),
        np.array(offsets, np.int64),
        np.array(timestamps, np.int64),
        draw(st.sampled_from([HeaderColumn(headers, list), None])),
    )
    picked = draw(st.lists(st.sampled_from(range(len(rows))), unique=True)) if rows else []
    codes = [draw(st.sampled_from(list(Code))) for _ in picked]
    return Refused(records, picked, codes, draw(st.sampled_from(["decode", "state", "step"])))


@given(refusals(), st.integers(0, AT))
def test_a_refused_record_is_unchanged_and_the_last_headers_say_where_and_why(
    refused: Refused, at: int
) -> None:
    records = refused.records
    outgoing = dead_letters.encode(refused, "dead", at, 1000)
    assert outgoing.topic == "dead"
    assert outgoing.values == [records.values[row] for row in refused.rows]
    assert outgoing.keys == [records.keys[row] for row in refused.rows]
    assert outgoing.partitions is not None
    assert outgoing.headers is not None
    assert outgoing.partitions.tolist() == [records.partitions[row] for row in refused.rows]
    assert outgoing.timestamps is not None
    assert outgoing.timestamps.tolist() == [min(records.timestamps[row], at) for row in refused.rows]
    for row, code, headers in zip(refused.rows, refused.codes, outgoing.headers, strict=True):
        told = [code, refused.stage, records.topic, records.partitions[row], records.offsets[row], at]
        own = [] if records.headers is None else records.headers[row]
        assert headers[: len(own)] == own
        assert headers[len(own) :] == [
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


def test_headers_that_the_topic_might_not_take_are_left_out() -> None:
    zeros = np.zeros(1, np.int64)
    large = HeaderColumn([[("large", b"x" * 100)]], list)
    records = Records("in", [b"value"], [b"key"], zeros.astype(np.int32), zeros, zeros, large)
    refused = Refused(records, [0], [Code.NOT_JSON], "decode")
    letter = dead_letters.encode(refused, "dead", 1, 114)
    assert letter.headers is not None
    assert (letter.values, letter.keys, letter.headers[0][0][0]) == ([None], [b"key"], "large")
    letter = dead_letters.encode(refused, "dead", 1, 100)
    assert letter.headers is not None
    assert (letter.values, letter.keys, letter.headers[0][0][0]) == ([None], [b"key"], ERROR_PREFIX + "code")


def test_many_small_headers_are_as_large_as_they_are_on_the_wire() -> None:
    zeros = np.zeros(1, np.int64)
    many = HeaderColumn([[("a", b"")] * 300], list)
    records = Records("in", [b"value"], [b"key"], zeros.astype(np.int32), zeros, zeros, many)
    letter = dead_letters.encode(Refused(records, [0], [Code.NOT_JSON], "decode"), "dead", 1, 900)
    assert letter.headers is not None
    assert letter.headers[0][0][0] == ERROR_PREFIX + "code"


def test_headers_are_read_only_of_what_is_refused() -> None:
    read: list[int] = []
    headers = HeaderColumn([0, 1, 2, 3], lambda message: read.append(message) or [("h", b"%d" % message)])
    part = Records("in", [b""] * 4, [b""] * 4, np.zeros(4, np.int32), *np.zeros((2, 4), np.int64), headers)
    records = Records.concat(
        [part.keep(np.zeros(4, np.bool_)), part.keep(np.array([True, False, True, True]))]
    )
    letter = dead_letters.encode(Refused(records, [1], [Code.EMPTY], "decode"), "dead", 1, 1000)
    assert letter.headers is not None
    assert letter.headers[0][0] == ("h", b"2")
    assert read == [2]
