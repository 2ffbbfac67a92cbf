import json

import numpy as np
import pytest

from model.variables import INDEX
from stream.assess.news2 import SIGNS, VitalSigns
from stream.columns.records import Records
from stream.decode.decoder import Decoder

COLUMNS = ("HR", "SysABP", "NISysABP", "RespRate", "Temp", "SaO2", "FiO2", "GCS")
WELL = {
    "HR": 70,
    "SysABP": 120,
    "NISysABP": np.nan,
    "RespRate": 16,
    "Temp": 37,
    "SaO2": 97,
    "FiO2": 0.21,
    "GCS": 15,
}


def assess(changes: dict[str, float], ages: dict[str, float] | None = None):
    vitals = np.array([[(WELL | changes)[name] for name in COLUMNS]], np.float32)
    hours = np.array([[(ages or {}).get(name, 0.5) for name in COLUMNS]], np.float32)
    return VitalSigns(COLUMNS).assess(vitals, hours)


def stale(assessment) -> set[str]:
    return {sign for bit, sign in enumerate(SIGNS) if assessment.stale[0] >> bit & 1}


def test_a_well_patient_scores_nothing() -> None:
    assessment = assess({})
    assert assessment.news2[0] == 0
    assert assessment.complete[0]
    assert stale(assessment) == set()


CHART = {
    "RespRate": {8: 3, 9: 1, 11: 1, 12: 0, 20: 0, 21: 2, 24: 2, 25: 3},
    "SaO2": {91: 3, 92: 2, 93: 2, 94: 1, 95: 1, 96: 0},
    "FiO2": {0.21: 0, 0.28: 2},
    "SysABP": {90: 3, 91: 2, 100: 2, 101: 1, 110: 1, 111: 0, 219: 0, 220: 3},
    "HR": {40: 3, 41: 1, 50: 1, 51: 0, 90: 0, 91: 1, 110: 1, 111: 2, 130: 2, 131: 3},
    "GCS": {15: 0, 14: 3, 3: 3},
    "Temp": {35.0: 3, 35.1: 1, 36.0: 1, 36.1: 0, 38.0: 0, 38.1: 1, 39.0: 1, 39.1: 2},
}


@pytest.mark.parametrize(
    ("variable", "level", "points"), [(name, *cell) for name, row in CHART.items() for cell in row.items()]
)
def test_each_parameter_follows_the_colleges_chart(variable: str, level: float, points: int) -> None:
    assert assess({variable: level}).news2[0] == points


BETWEEN = {
    "RespRate": {8.49: 3, 8.5: 1, 11.5: 0, 20.49: 0, 20.5: 2, 24.5: 3},
    "SaO2": {91.49: 3, 91.5: 2, 93.5: 1, 95.49: 1, 95.5: 0},
    "FiO2": {0.2095: 0, 0.214: 0, 0.215: 2},
    "SysABP": {90.49: 3, 90.5: 2, 100.5: 1, 110.5: 0, 219.49: 0, 219.5: 3},
    "HR": {40.49: 3, 40.5: 1, 50.5: 0, 90.49: 0, 90.5: 1, 110.5: 2, 130.5: 3},
    "Temp": {35.04: 3, 35.05: 1, 36.05: 0, 38.04: 0, 38.05: 1, 39.04: 1, 39.05: 2},
}


@pytest.mark.parametrize(
    ("variable", "level", "points"), [(name, *cell) for name, row in BETWEEN.items() for cell in row.items()]
)
def test_what_lies_between_two_bands_is_rounded_half_up(variable: str, level: float, points: int) -> None:
    """As it comes out of the decoder, in float32, where no edge of the temperature is exact."""
    sent = json.dumps({"patient_id": "p1", "observed_at": 1_700_000_000_000, "values": {variable: level}})
    one = np.zeros(1, np.int64)
    records = Records("t", [sent.encode()], [b"p1"], one.astype(np.int32), one, one)
    (decoded,) = Decoder(1_000_000, 300).decode(records).events.values[:, INDEX[variable]]
    assert assess({variable: decoded}).news2[0] == points


@pytest.mark.parametrize("variable", ["HR", "RespRate"])
def test_an_arrest_scores_three(variable: str) -> None:
    assessment = assess({variable: 0})
    assert assessment.news2[0] == 3
    assert assessment.complete[0]


def test_points_add_up() -> None:
    ill = {"RespRate": 26, "SaO2": 90, "FiO2": 0.6, "SysABP": 85, "HR": 140, "GCS": 9, "Temp": 39.5}
    assert assess(ill).news2[0] == 19


def test_a_missing_or_stale_sign_is_named_and_makes_the_score_incomplete() -> None:
    missing = assess({"SaO2": np.nan})
    assert stale(missing) == {"oxygen_saturation"}
    assert not missing.complete[0]
    old = assess({"HR": 150}, {"HR": 2.5})
    assert stale(old) == {"heart_rate"}
    assert old.news2[0] == 0
    assert not assess({"FiO2": np.nan}).complete[0]
    oxygen_of_yesterday = assess({"FiO2": 0.6}, {"FiO2": 24})
    assert oxygen_of_yesterday.news2[0] == 0
    assert not oxygen_of_yesterday.complete[0]


def test_the_younger_of_two_pressures_counts() -> None:
    assert assess({"NISysABP": 85}, {"NISysABP": 0.1}).news2[0] == 3
    assert assess({"NISysABP": 85}, {"NISysABP": 0.9}).news2[0] == 0
    assert assess({"SysABP": 85, "NISysABP": 120}).news2[0] == 3, "of one age: the arterial"
    assert stale(assess({"SysABP": 120, "NISysABP": 118}, {"SysABP": 9, "NISysABP": 1})) == set()
