"""What nobody sent on purpose breaks neither the board nor its picture."""

import json
from io import BytesIO, TextIOWrapper

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stream.columns.records import ERROR_PREFIX
from stream.ward.board import Board
from stream.ward.screen import as_object, points
from stream.ward.terminal import table
from tests.unit.ward.boards import (
    INPUT,
    event,
    observation,
    records,
    score,
    with_headers,
)

TOPIC, PARTITION, OFFSET = (ERROR_PREFIX + name for name in ("topic", "partition", "offset"))
BYTES = st.none() | st.binary(max_size=20) | st.sampled_from([b"0", b"6", INPUT, b"9" * 19, b"p"])
NAMES = st.sampled_from([TOPIC, PARTITION, OFFSET, "x"])


@given(st.lists(st.tuples(BYTES, st.lists(st.tuples(NAMES, BYTES), max_size=5)), max_size=5))
def test_no_dead_letter_breaks_the_board(letters):
    board = Board()
    board.score(records(score("p", 0.5)))
    board.refuse(with_headers([key for key, _ in letters], [headers for _, headers in letters]))
    board.observe(records(observation("p", HR=80)))
    assert [bed.patient_id for bed in board.beds()] == ["p"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [
        "type",
        "observed_at",
        "cancel",
        "encounter_id",
        "unit",
        "bed",
        "values",
        "risk",
        "source",
        "state",
        "news2",
    ]
)


@given(
    st.lists(st.tuples(FIELDS, JSON), min_size=1, max_size=3),
    st.sampled_from(["event", "score", "discharge"]),
)
def test_nor_does_an_odd_field_break_it_or_its_picture(fields, what):
    said = {"event": observation("p", HR=80), "score": score("p", 0.5), "discharge": event("discharge", "p")}
    key, value, at = said[what]
    odd = json.dumps(json.loads(value) | dict(fields)).encode()
    board = Board()
    board.score(records(score("p", 0.1)))
    feed = board.score if what == "score" else board.observe
    feed(records((key, odd, at), offset=1))
    Console(width=120, file=TextIOWrapper(BytesIO(), "utf-8")).print(
        table(board.beds(), board.now_ms, points, 120)
    )
    json.dumps(as_object(board), allow_nan=False).encode()
