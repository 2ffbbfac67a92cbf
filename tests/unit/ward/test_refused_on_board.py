"""What the worker refused is not on the board: the dead letters say it, before the event is read or after."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns.records import ERROR_PREFIX
from stream.ward import board as boards
from stream.ward.board import Board
from stream.ward.latest import Latest, Whereabouts
from stream.ward.screen import as_object
from tests.unit.ward.boards import (
    INPUT,
    MINUTE,
    START,
    dead_letters,
    event,
    observation,
    records,
    score,
    with_headers,
)

HOUR = 60
E1, E2 = {"encounter_id": "E1"}, {"encounter_id": "E2"}
TOPIC, PARTITION, OFFSET = (ERROR_PREFIX + name for name in ("topic", "partition", "offset"))


@pytest.fixture
def board():
    """One patient, scored with what was known of her at minute 10; the clock shows minute 60."""
    board = Board()
    board.score(records(score("clock", 0.0, 60)))
    known = event("observation", "p", 10, values={"HR": 80}, unit="ICU", bed="3", **E1)
    board.observe(records(known, offset=5))
    board.score(records(score("p", 0.5, 10, offset=5, where=E1 | {"unit": "ICU", "bed": "3"})))
    return board


def lying(board):
    return [bed.patient_id for bed in board.beds() if bed.patient_id != "clock"]


def bed(board):
    return next(bed for bed in board.beds() if bed.patient_id == "p")


REFUSED = {
    "a discharge": event("discharge", "p", 20),
    "a discharge of long ago": event("discharge", "p", -9 * 24 * HOUR),
    "a discharge to come": event("discharge", "p", 20 * HOUR),
    "a discharge taken back": event("discharge", "p", 30, cancel=True),
    "a value": observation("p", 20, HR=0),
    "a value of the same moment": observation("p", 10, HR=0),
    "a transfer": event("transfer", "p", 20, unit="HDU", bed="9"),
    "a transfer of another patient": event("transfer", "q", 20, unit="HDU", bed="9"),
    "an admission of somebody": event("admission", "q", 20),
    "a value to come": observation("p", 200, HR=0),
}


@pytest.mark.parametrize("read_first", ["event", "dead letter"])
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_it_is_as_if_a_refused_event_had_never_been_sent(board, refused, read_first):
    before = as_object(board)
    letter = dead_letters((refused[0], 6))
    if read_first == "dead letter":
        board.refuse(letter)
    board.observe(records(refused, offset=6))
    if read_first == "event":
        board.refuse(letter)
    assert as_object(board) == before
    board.score(records(score("clock", 0.0, 201, offset=9)))
    assert bed(board).vitals == {"heart_rate": 80} and lying(board) == ["p"]


def test_a_refused_value_that_came_last_uncovers_the_one_before(board):
    board.observe(records(observation("p", 11, HR=81), observation("p", 12, HR=0), offset=6))
    board.refuse(dead_letters((b"p", 7)))
    assert bed(board).vitals == {"heart_rate": 81} and bed(board).seen_at == START + 11 * MINUTE


def test_a_refused_discharge_uncovers_the_cancellation_before(board):
    board.observe(records(event("discharge", "p", 20), event("discharge", "p", 25, cancel=True), offset=6))
    board.observe(records(event("discharge", "p", 30), offset=8))
    assert lying(board) == []
    board.refuse(dead_letters((b"p", 8)))
    assert lying(board) == ["p"]


def test_no_dead_letter_takes_back_what_a_score_said(board):
    board.refuse(dead_letters((b"p", 5)))
    assert (bed(board).risk, bed(board).unit, bed(board).bed) == (0.5, "ICU", "3")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(TOPIC, INPUT)],
        [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, None)],
        [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, b"six")],
        [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, "６".encode())],
        [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, b"9" * 5000)],
        [(TOPIC, INPUT), (PARTITION, b"-0"), (OFFSET, b"6")],
        [(TOPIC, b"another"), (PARTITION, b"0"), (OFFSET, b"6")],
        [(TOPIC, None), (PARTITION, b"0"), (OFFSET, b"6")],
    ],
)
def test_a_dead_letter_that_names_no_event_of_the_input_is_passed_over(board, headers):
    board.observe(records(event("discharge", "p", 20), offset=6))
    board.refuse(with_headers([b"p"], [headers]))
    assert lying(board) == []


def test_so_are_records_without_headers(board):
    board.refuse(records((b"p", b"{}", START)))
    assert lying(board) == ["p"]


def test_of_headers_of_one_name_the_worker_s_own_stand_last(board):
    board.observe(records(event("discharge", "p", 20), offset=6))
    own = [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, b"5")]
    added = [(TOPIC, INPUT), (PARTITION, b"0"), (OFFSET, b"6")]
    board.refuse(with_headers([b"p"], [own + added]))
    assert lying(board) == ["p"] and bed(board).vitals == {"heart_rate": 80}


def test_what_is_remembered_of_refused_events_is_bounded_and_ends_when_they_are_read(board, monkeypatch):
    board.refuse(dead_letters(*((b"p", offset) for offset in range(6, 16))))
    assert len(board._refused) == 10
    board.observe(records(*[observation("p", 20, HR=0)] * 10, offset=6))
    assert not board._refused and bed(board).vitals == {"heart_rate": 80}
    monkeypatch.setattr(boards, "MOST_REFUSED", 4)
    board.refuse(dead_letters(*((b"p", offset) for offset in range(20, 30))))
    assert list(board._refused) == [(0, offset) for offset in range(26, 30)]


def test_so_is_what_is_kept_of_a_patient(board):
    for offset in range(6, 200):
        board.observe(records(event("transfer", "p", 20, bed=str(offset)), offset=offset))
        board.observe(records(event("discharge", "p", 20, cancel=True), offset=offset))
        board.observe(records(observation("p", 20, HR=offset), offset=offset))
    patient = board._patients["p"]
    kept = [getattr(patient, name) for name in patient.__slots__]
    kept += list(patient._signs.values())
    assert max(len(said) for said in kept if isinstance(said, Latest)) <= 16
    assert bed(board).vitals == {"heart_rate": 199}


def test_a_discharge_of_another_encounter_takes_nobody_and_nothing_away(board):
    before = as_object(board)
    board.observe(records(event("discharge", "p", 20, **E2), offset=6))
    assert as_object(board) == before


def test_the_worker_may_take_it_all_the_same(board):
    """What it has passed without a dead letter counts: the stay had its encounter of a laboratory."""
    board.observe(records(event("discharge", "p", 20, **E2), offset=6))
    assert lying(board) == ["p"]
    board.score(records(score("q", 0.1, 20, offset=7)))
    assert lying(board) == ["q"]


def test_whoever_was_measured_after_the_grace_of_a_discharge_is_here(board):
    board.observe(records(observation("p", 13 * HOUR, HR=0), offset=7))
    board.score(records(score("p", 0.5, 13 * HOUR, offset=7)))
    board.observe(records(event("discharge", "p", 20, **E1), offset=8))
    board.score(records(score("q", 0.1, 20, offset=9)))
    assert "p" in lying(board)


def test_a_cancellation_of_another_encounter_counts_until_it_is_refused(board):
    """Rather is somebody shown who has left than hidden who is here."""
    board.observe(records(event("discharge", "p", 20, **E1), offset=6))
    board.observe(records(event("discharge", "p", 30, cancel=True, **E2), offset=7))
    assert lying(board) == ["p"]
    board.refuse(dead_letters((b"p", 7)))
    assert lying(board) == []


@given(st.permutations([(20, False), (20, True), (25, False), (30, True)]), st.integers(0, 4))
def test_discharges_and_cancellations_go_by_time_and_of_equal_ones_the_cancellation_counts(order, kept):
    board = Board()
    board.score(records(score("p", 0.5, 60)))
    told = order[:kept]
    board.observe(records(*(event("discharge", "p", at, cancel=cancel) for at, cancel in told), offset=1))
    discharged = max((at for at, cancel in told if not cancel), default=0)
    cancelled = max((at for at, cancel in told if cancel), default=0)
    assert lying(board) == ([] if discharged > cancelled else ["p"])


def test_who_was_scored_as_open_after_a_discharge_is_there_whatever_its_time(board):
    """A board that starts in the middle of the stream may have no dead letter of it."""
    board.observe(records(event("discharge", "p", 59), offset=6))
    assert lying(board) == []
    board.score(records(score("p", 0.6, 11, offset=7, where=E1)))
    assert lying(board) == ["p"] and bed(board).vitals == {"heart_rate": 80}


def test_who_was_scored_as_discharged_is_not_there_though_nothing_is_known_of_the_discharge() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 10, offset=5, closed=True)))
    board.observe(records(observation("p", 10, HR=80), offset=5))
    assert lying(board) == []


def test_an_event_of_an_unknown_type_does_nothing(board):
    before = as_object(board)
    for kind in ("merge", "", None, 7, ["discharge"]):
        said = event(kind, "p", 20, values={"HR": 0}, unit="HDU", bed="9")
        board.observe(records(said, event(kind, "q", 20), offset=6))
    assert as_object(board) == before


def test_zero_has_no_sign() -> None:
    board = Board()
    board.score(records(score("p", 0.5)))
    board.observe(records(observation("p", HR=-0.0)))
    assert json.dumps(bed(board).vitals) == '{"heart_rate": 0}'


@pytest.mark.parametrize(
    ("told", "unit", "bed"),
    [
        ([(1, "a", "1"), (2, "b", "")], "b", ""),
        ([(1, "a", "1"), (2, "a", "")], "a", "1"),
        ([(1, "a", "1"), (2, "", "2")], "a", "2"),
        ([(1, "a", "1"), (3, "", "2"), (2, "b", "")], "b", "2"),
        ([(1, "a", "1"), (3, "b", ""), (2, "", "2")], "b", ""),
        ([(1, "a", "1"), (3, "a", ""), (2, "b", "2")], "a", "2"),
        ([(2, "a", "1"), (1, "b", "2")], "a", "1"),
        ([(2, "a", "1"), (2, "b", "2")], "b", "2"),
        ([(1, "a", "1"), (1, "b", "")], "b", "1"),
    ],
)
def test_a_bed_is_one_of_its_unit(told, unit, bed):
    where = Whereabouts()
    for said in told:
        where.moved(*said)
    assert (where.unit, where.bed) == (unit, bed)


def test_what_a_score_says_again_is_not_newer() -> None:
    """A transfer that is reported late, after observations that name no unit, moves the patient."""
    where = Whereabouts()
    where.moved(1, "a", "1")
    where.scored(10, "a", "1")
    where.moved(5, "b", "2")
    assert (where.unit, where.bed) == ("b", "2")
    where.scored(11, "a", "3")
    assert (where.unit, where.bed) == ("a", "3")
