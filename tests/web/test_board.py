"""The board: the last that is known of each patient, the worst first."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.variables import VITAL_SIGNS
from stream.web.board import BUCKETS, SHOWN, Board, Trend
from tests.web.boards import MINUTE, START, observation, records, score

BUCKET = 5 * MINUTE


def order(board):
    return [bed.patient_id for bed in board.beds()]


def test_patients_stand_by_risk_and_those_without_a_score_last():
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


def test_the_last_score_counts_and_brings_its_state():
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


def test_a_late_event_does_not_turn_back_the_clock():
    board = Board()
    board.score(records(score("p", 0.5, minute=60)))
    board.score(records(score("p", 0.1, minute=2, late=True)))
    bed = board.beds()[0]
    assert (bed.late, bed.risk, bed.seen_at) == (True, 0.1, START + 60 * MINUTE)
    assert bed.trend.levels() == [0.5]


def test_vital_signs_are_kept_until_measured_again_whatever_measures_them():
    board = Board()
    board.observe(records(observation("p", HR=80, SysABP=120, DiasABP=70, Temp=37.1, Lactate=2.0)))
    board.observe(records(observation("p", 1, HR=90, NISysABP=110)))
    assert board.beds()[0].vitals == {
        "heart_rate": 90,
        "systolic_pressure": 110,
        "diastolic_pressure": 70,
        "temperature": 37.1,
    }


def test_implausible_values_are_not_shown():
    board = Board()
    board.observe(records(observation("p", HR=80, SaO2=97), observation("p", 1, HR=0, SaO2=735)))
    assert board.beds()[0].vitals == {"heart_rate": 80, "oxygen_saturation": 97}


def test_a_discharged_patient_leaves_the_board():
    board = Board()
    board.observe(records(observation("p", HR=80), observation("q", HR=80)))
    event = {"type": "discharge", "patient_id": "p", "observed_at": START}
    board.observe(records((b"p", json.dumps(event).encode(), START)))
    assert order(board) == ["q"]


def test_an_event_under_the_key_of_another_is_passed_over():
    board = Board()
    board.observe(records(observation("p", key=b"q", HR=80)))
    assert not len(board)


@given(st.lists(st.tuples(st.binary(max_size=40) | st.none(), st.binary(max_size=4) | st.none())))
def test_no_record_breaks_the_board(pairs):
    board = Board()
    polled = records(*((key, value, START) for value, key in pairs))
    board.observe(polled)
    board.score(polled)
    assert board.beds() == []


@pytest.mark.parametrize("part", range(0, 160, 8))
def test_nor_does_a_spoiled_one(part):
    board = Board()
    for key, value, at in (score("p", 0.5), observation("p", HR=80)):
        spoiled = value[:part] + b"\xff" + value[part + 1 :]
        board.observe(records((key, spoiled, at)))
        board.score(records((key, spoiled, at)))
    assert order(board) in ([], ["p"])


def test_every_vital_sign_of_the_table_is_shown():
    assert {sign.name for sign in VITAL_SIGNS} <= set(SHOWN.values())


points = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), max_size=60)


@given(points)
def test_a_trend_has_one_level_a_stretch_and_ends_with_the_last(raw):
    trend = Trend(BUCKET)
    in_time = sorted(raw, key=lambda point: point[0])
    for bucket, risk in in_time:
        trend.add(bucket * BUCKET, risk)
    levels = trend.levels()
    if not in_time:
        assert levels == [] and trend.change() == 0
        return
    last = in_time[-1][0]
    assert len(levels) == min(BUCKETS, last - in_time[0][0] + 1)
    for back, level in enumerate(reversed(levels)):
        assert level == [risk for bucket, risk in in_time if bucket <= last - back][-1]
    assert trend.change() == levels[-1] - levels[0]


def test_a_trend_after_a_long_silence_is_short_work():
    trend = Trend(1)
    trend.add(0, 0.5)
    trend.add(10**15, 0.7)
    assert trend.levels() == [0.5] * (BUCKETS - 1) + [0.7]


def test_of_scores_that_come_at_once_none_is_missing_from_the_trend():
    board = Board(BUCKET)
    board.score(records(*(score("p", minute / 100, minute) for minute in range(60))))
    first = START // BUCKET * BUCKET
    levels = board.beds()[0].trend.levels()
    assert levels[-1] == 0.59
    expected = [
        max(m for m in range(60) if START + m * MINUTE < first + (n + 1) * BUCKET) / 100 for n in range(13)
    ]
    assert levels == expected[-BUCKETS:]


def test_the_trend_goes_by_the_time_of_the_events_whenever_the_broker_got_the_scores():
    board = Board(bucket_ms=BUCKET)
    scores = [(key, value, START) for key, value, _ in (score("a", 0.1), score("a", 0.9, minute=30))]
    board.score(records(*scores))
    (bed,) = board.beds()
    assert bed.trend.levels()[-7:] == [0.1] * 6 + [0.9]
