"""The picture: what is alarming, what is old and what is missing can be seen, with and without colour."""

import io
import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from stream.readable import readable
from stream.ward.board import Board
from stream.ward.screen import as_object, line, points
from stream.ward.svg import as_svg
from stream.ward.terminal import SILENT_MS, SPARKS, Status, cut, picture, risk_style, sparkline
from tests.unit.test_readable import UNSHOWN
from tests.unit.ward.boards import MINUTE, observation, records, score

STATUS = Status("demo", [("events", "12"), ("p99", "9 ms")], 0.5, "30 s left")


def drawn(board, width=120, height=24, status=STATUS, colour=False):
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(picture(board, status, points, width, height))
    return out.getvalue()


def row(board, patient, **options):
    return next(text for text in drawn(board, **options).splitlines() if patient in text)


@pytest.fixture
def board():
    board = Board()
    board.observe(
        records(
            observation("ill", HR=135, SysABP=82, DiasABP=41, RespRate=28, SaO2=90, Temp=39.4, GCS=14),
            observation("well", HR=70, SysABP=120, DiasABP=70, RespRate=14, SaO2=98, Temp=36.9, GCS=15),
            observation("silent", HR=70),
        )
    )
    for minute in range(0, 60, 5):
        board.score(
            records(score("ill", 0.1 + minute / 100, minute, news2=14), score("well", 0.02, minute, 0))
        )
    board.score(records(score("silent", 0.3, 0, 5, False, ["heart_rate", "temperature"], warm=False)))
    return board


def test_the_worst_is_on_top(board):
    text = drawn(board)
    assert text.index("ill ") < text.index("silent") < text.index("well")


def test_what_alarms_by_itself_is_marked(board):
    ill, well = row(board, "ill "), row(board, "well")
    for alarming in ("135!", "82/41!", "28!", "90!", "14!"):
        assert alarming in ill
    assert "39.4!" not in ill and "39.4" in ill
    assert "!" not in well and "120/70" in well


def test_risk_trend_and_news2_are_shown(board):
    ill = row(board, "ill ")
    assert "65.0%" in ill and "▲55" in ill and "14" in ill
    assert "".join(SPARKS[0]) in ill and SPARKS[-1] in ill
    assert "▲" not in row(board, "well") and "▼" not in row(board, "well")


def test_old_missing_and_few_are_marked(board):
    silent = row(board, "silent")
    assert "~30.0%" in silent and "5+" in silent and "70?" in silent and "–" in silent
    assert "HR Temp" in silent
    assert "55 min" in silent and "now" in row(board, "well")


def test_a_patient_who_fell_silent_is_questioned(board):
    board.score(records(score("ill", 0.7, SILENT_MS / MINUTE + 1)))
    assert "30.0%?" in row(board, "silent") and "2.0%" in row(board, "well")


def test_green_is_only_for_low_risk_that_rests_on_enough(board):
    def style(patient="p", later=0, **given):
        board.score(records(score(patient, given.pop("risk", 0.02), **given)))
        bed = next(bed for bed in board.beds() if bed.patient_id == patient)
        return risk_style(bed, bed.seen_at + later, points)

    assert style() == "green"
    assert "green" not in style(stale=["heart_rate"]) + style(warm=False) + style(later=SILENT_MS) + style(
        news2=5
    )
    assert "red" in style(risk=0.6) and "yellow" in style(risk=0.3)


@pytest.mark.parametrize("width", [60, 80, 120, 160])
@pytest.mark.parametrize("height", [12, 24, 50])
def test_it_fits_the_terminal(width, height):
    board = Board()
    board.score(records(*(score(f"sim-{number:06}", number / 100, news2=12) for number in range(70))))
    lines = drawn(board, width, height).splitlines()
    assert len(lines) <= height and max(map(len, lines)) <= width
    assert "sim-000069" in lines[3]
    shown = sum("sim-" in text for text in lines)
    assert shown == min(70, height - 9)
    assert shown == 70 or any(
        f"{70 - shown} more patients, {70 - shown} of them urgent" in text for text in lines
    )


def test_a_narrow_terminal_keeps_what_matters(board):
    ill = row(board, "ill ", width=80)
    for part in ("65.0%", "14", "135!", "82/41!", "28!", "90!", "39.4"):
        assert part in ill


LONG = "x" * 250 + "124816"


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("where", [None, {"unit": "surgical-icu", "bed": "12"}], ids=["no bed", "bed"])
def test_a_long_id_leaves_the_rest_in_sight(width, where):
    board = Board()
    board.score(records(score(LONG, 0.65, news2=14, where=where)))
    board.observe(records(observation(LONG, HR=135, SysABP=182, DiasABP=141, RespRate=28, SaO2=91, Temp=39)))
    shown = row(board, "x…", width=width)
    assert "816 " in shown
    for part in ("65.0%", " 14 ", "135!", "182/141", "28!", "91!", "39.0"):
        assert part in shown
    assert where is None or re.search(r" s\S*…\S*/12 ", shown)


@given(st.text(), st.integers(2, 40))
def test_what_is_cut_fits_and_what_fits_is_whole(text, cells):
    shown = cut(text, cells)
    assert cell_len(shown) <= cells
    assert shown == readable(text) or (cell_len(readable(text)) > cells and shown.count("…") >= 1)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ({"unit": "ICU", "bed": "4"}, "ICU/4"),
        ({"unit": "ICU"}, "ICU"),
        ({"bed": "4"}, "4"),
        ({"unit": "a-long-unit", "bed": "104"}, "a-…t/104"),
        ({"unit": "ICU", "bed": "a-long-bed"}, "a-lo…bed"),
    ],
)
def test_unit_and_bed_stand_beside_the_patient(where, shown):
    board = Board()
    board.score(records(score("ill", 0.2, where=where), score("well", 0.1)))
    assert row(board, "ill ").split()[1] == shown
    assert [patient["unit"] for patient in as_object(board)["patients"]] == [where.get("unit"), None]


def test_nothing_of_an_id_is_obeyed() -> None:
    """Not in the table, as it is drawn and as a file, nor in JSON; of unit, bed and model likewise."""
    for first in range(0, len(UNSHOWN), 4):
        some = f"p{UNSHOWN[first : first + 4]}q"
        board = Board()
        board.score(records(score(some, 0.5, stale=[some], where={"unit": some, "bed": some})))
        board.model = board.target = some
        view = picture(board, STATUS, points, 160, 24)
        texts = drawn(board, 160), drawn(board, 80), json.dumps(as_object(board)), as_svg(view, "title", 160)
        for text in texts:
            assert not set(text) & set(UNSHOWN) - {"\n"}
        assert ElementTree.fromstring(texts[-1]) is not None


def test_without_colour_there_are_no_control_codes(board):
    assert "\x1b" not in drawn(board)
    assert "\x1b" in drawn(board, colour=True)


def test_an_empty_board_can_be_drawn() -> None:
    assert "0 patients" in drawn(Board())


def test_figures_and_progress_stand_below(board):
    text = drawn(board)
    assert "events 12" in text and "30 s left" in text
    assert "left" not in drawn(board, status=Status("watch"))


@pytest.mark.parametrize(
    ("levels", "heights"),
    [
        ([], ""),
        ([0.5, 0.5], "▁▁"),
        ([0.0, 0.01], "▁▂"),
        ([0.0, 1.0], "▁█"),
        ([0.9, 0.1], "█▁"),
        ([0.1, 0.2, 0.3], "▁▅█"),
    ],
)
def test_a_sparkline_shows_the_course_but_not_noise(levels, heights):
    assert sparkline(levels).strip() == heights


@pytest.mark.parametrize(
    ("sign", "value", "expected"),
    [
        ("heart_rate", 131, 3),
        ("heart_rate", 130, 2),
        ("heart_rate", 90, 0),
        ("heart_rate", 40, 3),
        ("oxygen_saturation", 91, 3),
        ("temperature", 35.0, 3),
        ("respiratory_rate", 25, 3),
        ("systolic_pressure", 90, 3),
        ("systolic_pressure", 220, 3),
        ("diastolic_pressure", 20, 0),
    ],
)
def test_points_are_those_of_news2(sign, value, expected):
    assert points(sign, value) == expected


def test_the_plain_line_names_no_patient(board):
    text = line(board, STATUS)
    assert text == "demo: 3 patients, events 12, p99 9 ms, highest risk 65.0%, 30 s left"


def test_scripts_get_the_board_as_an_object(board):
    found = as_object(board)
    assert [patient["patient_id"] for patient in found["patients"]] == ["ill", "silent", "well"]
    assert found["patients"][0]["vitals"]["heart_rate"] == 135
    assert found["patients"][1]["state"]["stale"] == ["heart_rate", "temperature"]
    assert found["patients"][0]["change"] == pytest.approx(0.55)
