"""What a clinician reads of a contributor."""

import math

import pytest

from model.explain.words import in_words
from model.variables import INDEX


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("AST", 0.1, 12_345, math.nan, 0, 0, 0), "12345 U/L"),
        (("AST", 0.1, 9_999.7, 40_000, 0.5, 0, 0), "10000 U/L, down from 40000 U/L 30 min before"),
        (("Temp", 0.1, 36.70001, 36.7, 1, 0, 0), "36.7 °C"),
        (
            ("Temp", -0.1, 36.7, 36, 3, 1, 0),
            "36.7 °C, up from 36 °C 3 h before, highest of the stay; lowers the risk",
        ),
        (("Lactate", 0.1, 12.8, math.nan, 0, 0, 12), "12.8 mmol/L 12 h ago"),
        (("HR", 0.1, 140, 90, 1, 0, 0.5), "140 /min 30 min ago, up from 90 /min 60 min before"),
    ],
)
def test_words(row, words):
    name, *rest = row
    assert in_words(INDEX[name], *rest).endswith(" " + words)


@pytest.mark.parametrize(("value", "words"), [(0.99999, ""), (1, ""), (0, "not "), (1e-6, "not ")])
def test_ventilation_is_told_as_it_is(value, words):
    row = 0.1, value, math.nan, 0, 0, 2
    assert in_words(INDEX["MechVent"], *row) == f"{words}mechanically ventilated 2 h ago"
