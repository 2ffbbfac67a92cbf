"""What NEWS2 calls urgent stands first and in no reassuring colour, however low the model's risk."""

import pytest

from stream.ward.board import Board
from stream.ward.screen import points
from stream.ward.terminal import charted, risk_style, table
from tests.unit.ward.boards import observation, records, score
from tests.unit.ward.test_terminal import drawn

THREE, GREEN = "\x1b[33m    3", "\x1b[32m"
"""A yellow NEWS2 of 3, and what turns anything green."""


def of(*scores, **vitals):
    """A board with these scores, and last vital signs by the patient."""
    board = Board()
    board.score(records(*scores))
    board.observe(records(*(observation(patient, **values) for patient, values in vitals.items())))
    return board


def coloured(board, patient):
    return next(text for text in drawn(board, colour=True).splitlines() if patient in text)


def patients(board, height):
    return [text.split()[0] for text in drawn(board, height=height).splitlines()[3:] if "%" in text]


def test_a_sign_that_alarms_by_itself_is_not_green() -> None:
    board = of(score("arrest", 0.026, news2=3), arrest={"HR": 0})
    assert risk_style(board.beds()[0], board.now_ms, points) == ""
    assert GREEN not in coloured(board, "arrest") and THREE in coloured(board, "arrest")


def test_a_stale_sign_does_not_alarm() -> None:
    board = of(score("old", 0.026, news2=3, stale=["heart_rate"]), old={"HR": 0})
    assert THREE not in coloured(board, "old")


def test_the_urgent_stand_above_a_higher_risk() -> None:
    board = of(
        score("risky", 0.6, news2=3),
        score("old", 0.1, news2=3, stale=["heart_rate"]),
        score("arrest", 0.026, news2=6),
        score("high", 0.02, news2=7),
        arrest={"HR": 0, "RespRate": 0},
        old={"HR": 0},
    )
    assert patients(board, 24) == ["arrest", "high", "risky", "old"]
    assert patients(board, 11) == ["arrest", "high"]
    rows = table(board.beds(), board.now_ms, points, 120).columns[0].cells
    assert [str(cell) for cell in rows] == ["arrest", "high", "risky", "old"]


@pytest.mark.parametrize(
    ("height", "said"), [(11, "… and 2 more patients\n"), (10, "3 more patients, 1 of them urgent by NEWS2")]
)
def test_what_is_hidden_is_told(height, said):
    calm = [score("risky", 0.9, news2=3), score("well", 0.01, news2=0)]
    board = of(score("a", 0.026, news2=6), score("b", 0.02, news2=7), *calm, a={"HR": 0})
    assert said in drawn(board, height=height)


@pytest.mark.parametrize(
    ("value", "step", "shown"),
    [
        (20.5, "1", "21"),
        (20.49, "1", "20"),
        (90.5, "1", "91"),
        (7, "1", "7"),
        (35.05, "0.1", "35.1"),
        (35.04, "0.1", "35.0"),
        (37, "0.1", "37.0"),
    ],
)
def test_a_value_is_rounded_half_up(value, step, shown):
    assert charted(value, step) == shown


def test_what_is_shown_is_what_is_scored() -> None:
    board = of(score("p", 0.1), p={"RespRate": 20.5, "SysABP": 120.5, "DiasABP": 70.5, "Temp": 36.05})
    text = drawn(board)
    for shown in (" 21 ", "121/71", "36.1"):
        assert shown in text
