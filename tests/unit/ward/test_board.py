"""The board: the last that is known of each patient, the worst first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.variables import INDEX, VARIABLES, VITAL_SIGNS
from stream.ward.board import Board
from stream.ward.patient import SHOWN
from stream.ward.trend import BUCKETS
from tests.unit.ward.boards import MINUTE, START, observation, records, score

BUCKET = 5 * MINUTE


def order(board):
    return [bed.patient_id for bed in board.beds()]


def test_patients_stand_by_risk_and_those_without_a_score_last() -> None:
    board = Board()
    board.observe(records(observation("quiet", HR=80), observation("b", HR=80)))
    board.score(records(score("b", 0.2), score("a", 0.2), score("worst", 0.9), score("none", 0.0)))
    assert order(board) == ["worst", "a", "b", "none", "quiet"]
    board.score(records(score("worst", 0.01, minute=1)))
    assert order(board) == ["a", "b", "worst", "none", "quiet"]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0, 1)))
def test_every_patient_is_there_once_in_order_of_risk(risks):
    board = Board()
    board.score(records(*(score(patient, risk) for patient, risk in risks.items())))
    shown = [(bed.patient_id, bed.risk) for bed in board.beds()]
    assert dict(shown) == risks and len(shown) == len(risks) == len(board)
    assert [risk for _, risk in shown] == sorted(risks.values(), reverse=True)


def test_the_last_score_counts_and_brings_its_state() -> None:
    board = Board()
    board.score(
        records(
            score("p", 0.1), score("p", 0.3, 1, 7, complete=False, stale=["heart_rate"], events=4, warm=False)
        )
    )
    bed = board.beds()[0]
    assert (bed.risk, bed.news2, bed.complete, bed.stale) == (0.3, 7, False, ("heart_rate",))
    assert (bed.events, bed.warm, bed.late, bed.seen_at) == (4, False, False, START + MINUTE)
    assert (board.model, board.target, board.now_ms) == ("gru-64", "in_hospital_death", START + MINUTE)


def test_a_late_event_does_not_turn_back_the_clock() -> None:
    board = Board()
    board.score(records(score("p", 0.5, minute=60)))
    board.score(records(score("p", 0.1, minute=2, late=True)))
    bed = board.beds()[0]
    assert (bed.late, bed.risk, bed.seen_at) == (True, 0.1, START + 60 * MINUTE)
    assert bed.trend.levels() == [0.5]


@pytest.fixture
def board():
    """One whose clock shows `START` + 4 h."""
    board = Board()
    board.score(records(score("clock", 0.0, 240)))
    return board


def vitals(board, patient="p"):
    return next(bed.vitals for bed in board.beds() if bed.patient_id == patient)


def test_vital_signs_are_kept_until_measured_again_whatever_measures_them(board):
    board.observe(records(observation("p", HR=80, SysABP=120, DiasABP=70, Temp=37.1, Lactate=2.0)))
    board.observe(records(observation("p", 1, HR=90, NISysABP=110)))
    assert vitals(board) == {
        "heart_rate": 90,
        "systolic_pressure": 110,
        "diastolic_pressure": 70,
        "temperature": 37.1,
    }


def test_a_late_value_never_replaces_a_newer_one(board):
    board.observe(records(observation("p", 30, HR=80, Temp=37), observation("p", 10, HR=150, SaO2=97)))
    (bed,) = (bed for bed in board.beds() if bed.patient_id == "p")
    assert bed.vitals == {"heart_rate": 80, "temperature": 37, "oxygen_saturation": 97}
    minutes = {sign: (at - START) / MINUTE for sign, at in bed.measured_at.items()}
    assert minutes == {"heart_rate": 30, "temperature": 30, "oxygen_saturation": 10}


@pytest.mark.parametrize(
    ("cuff", "line", "shown"), [(20, 10, 110), (10, 20, 120), (20, 20, 120)], ids=["cuff", "line", "both"]
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_newer_of_two_pressures_counts_and_the_arterial_of_equally_new_ones(
    board, cuff, line, shown, turned
):
    taken = [observation("p", cuff, NISysABP=110), observation("p", line, SysABP=120)]
    board.observe(records(*(reversed(taken) if turned else taken)))
    assert vitals(board) == {"systolic_pressure": shown}


def test_of_two_values_of_one_moment_the_one_said_last_counts(board):
    board.observe(records(observation("p", 1, HR=180), observation("p", 1, HR=80)))
    assert vitals(board) == {"heart_rate": 80}


def test_what_can_be_true_is_shown_and_nothing_else(board):
    low = VARIABLES[INDEX["HR"]].low
    board.observe(records(observation("p", HR=low, SaO2=97)))
    board.observe(records(observation("p", 1, HR=low - 1, SaO2=735)))
    assert vitals(board) == {"heart_rate": low, "oxygen_saturation": 97}


def test_an_event_under_the_key_of_another_is_passed_over(board):
    board.observe(records(observation("p", key=b"q", HR=80)))
    assert order(board) == ["clock"]


@given(st.lists(st.tuples(st.binary(max_size=40) | st.none(), st.binary(max_size=4) | st.none())))
def test_no_record_breaks_the_board(pairs):
    board = Board()
    board.now_ms = START
    polled = records(*((key, value, START) for value, key in pairs))
    board.observe(polled)
    board.score(polled)
    assert board.beds() == []


@pytest.mark.parametrize("part", range(0, 160, 8))
def test_nor_does_a_spoiled_one(part: int) -> None:
    board = Board()
    board.score(records(score("q", 0.9)))
    (whole,) = board.beds()
    for key, value, at in (score("p", 0.5), observation("p", HR=80)):
        spoiled = value[:part] + b"\xff" + value[part + 1 :]
        board.observe(records((key, spoiled, at)))
        board.score(records((key, spoiled, at)))
    shown = {bed.patient_id: bed for bed in board.beds()}
    assert replace(shown.pop("q"), trend=whole.trend) == whole
    assert [bed.risk for bed in shown.values()] in ([], [0.5])


def test_every_vital_sign_of_the_table_is_shown() -> None:
    assert {sign.name for sign in VITAL_SIGNS} <= set(SHOWN.values())


def test_of_scores_that_come_at_once_none_is_missing_from_the_trend() -> None:
    board = Board(BUCKET)
    board.score(records(*(score("p", minute / 100, minute) for minute in range(60))))
    first = START // BUCKET * BUCKET
    levels = board.beds()[0].trend.levels()
    assert levels[-1] == 0.59
    expected = [
        max(m for m in range(60) if START + m * MINUTE < first + (n + 1) * BUCKET) / 100 for n in range(13)
    ]
    assert levels == expected[-BUCKETS:]


def test_the_trend_goes_by_the_time_of_the_events_whenever_the_broker_got_the_scores() -> None:
    board = Board(bucket_ms=BUCKET)
    scores = [(key, value, START) for key, value, _ in (score("a", 0.1), score("a", 0.9, minute=30))]
    board.score(records(*scores))
    (bed,) = board.beds()
    assert bed.trend.levels()[-7:] == [0.1] * 6 + [0.9]
