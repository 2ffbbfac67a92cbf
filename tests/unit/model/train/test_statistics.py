from dataclasses import replace

import numpy as np
import pytest

from model.datasets.padding import step_starts
from model.datasets.stays import Stays
from model.train.statistics import COLUMNS, STATISTICS, running_statistics
from model.variables import INDEX, NAMES, STATICS
from tests.unit.model import synthetic


def test_statistics_of_a_short_stay() -> None:
    values = np.full((3, len(NAMES)), np.nan, dtype=np.float32)
    values[[0, 2], INDEX["HR"]] = (80, 100)
    stay = Stays(
        record_ids=np.array([1], dtype=np.int32),
        statics=np.full((1, len(STATICS)), np.nan, dtype=np.float32),
        starts=np.array([0, 3]),
        minutes=np.array([60, 120, 180], dtype=np.int32),
        values=values,
    )
    table = running_statistics(stay)
    of_hr = {name: table[:, i * len(NAMES) + INDEX["HR"]] for i, name in enumerate(STATISTICS)}
    nan = float("nan")
    expected = {
        "last": [nan, 80, 80, 100],
        "seen": [0, 1, 0, 1],
        "age": np.log1p([0, 0, 1, 0]),
        "minimum": [nan, 80, 80, 80],
        "maximum": [nan, 80, 80, 100],
        "mean": [nan, 80, 80, 90],
        "change": [nan, 0, 0, 20],
        "count": [0, 1, 1, 2],
        "spread": [nan, 0, 0, 10],
    }
    for name, column in expected.items():
        assert of_hr[name] == pytest.approx(column, nan_ok=True), name
    assert table[:, -2:].tolist() == [[0, 0], [1, 1], [2, 1], [3, 1]]


def test_no_statistic_sees_the_future() -> None:
    stays = synthetic.stays()
    table = running_statistics(stays)
    assert table.shape == (step_starts(stays)[-1], COLUMNS)
    patient = int(np.argmax(np.diff(stays.starts)))
    changed = stays.values.copy()
    changed[stays.rows(patient).stop - 1] = 50
    after = running_statistics(replace(stays, values=changed))
    last = step_starts(stays)[patient + 1] - 1
    assert not np.array_equal(table[last], after[last], equal_nan=True)
    table[last] = after[last]
    np.testing.assert_array_equal(table, after)
