"""Running statistics of each variable at every step of a stay: what gradient boosting learns from.

Each can be updated in O(1) an event, and none sees the future.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.datasets.padding import step_hours, step_starts
from model.datasets.stays import Stays
from model.variables import STATICS, VARIABLES

STATISTICS = ("last", "seen", "age", "minimum", "maximum", "mean", "change", "count", "spread")
"""Columns of each variable. age: log1p hours since measured, since admission if never; change: last -
first."""
COLUMNS = len(STATISTICS) * len(VARIABLES) + len(STATICS) + 2


def running_statistics(stays: Stays) -> NDArray[np.float32]:
    """[P + E, COLUMNS] for every step, flat in the order of `step_starts`: `STATISTICS` of the variables
    (NaN before the first measurement), the statics, hours since admission and since the previous step."""
    starts, hours = step_starts(stays), step_hours(stays)
    table = np.empty((int(starts[-1]), COLUMNS), dtype=np.float32)
    for patient in range(len(stays)):
        steps = slice(int(starts[patient]), int(starts[patient + 1]))
        variables = table[steps, : -len(STATICS) - 2]
        variables[:] = _of_stay(stays.values[stays.rows(patient)], hours[steps])
        table[steps, -len(STATICS) - 2 : -2] = stays.statics[patient]
        table[steps, -2] = hours[steps]
        table[steps, -1] = np.diff(hours[steps], prepend=0)
    return table


def _of_stay(observed: NDArray[np.float32], hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """observed: [T - 1, V], hours: [T] -> [T, statistics * V]; the first step measures nothing."""
    values = np.vstack((np.full((1, len(VARIABLES)), np.nan), observed.astype(np.float64)))
    seen = np.isfinite(values)
    latest = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), axis=0)
    ever = latest >= 0
    latest = latest.clip(min=0)
    last = np.take_along_axis(values, latest, axis=0)
    first = values[np.argmax(seen, axis=0), np.arange(values.shape[1])]
    count = seen.cumsum(axis=0)
    mean = np.where(seen, values, 0).cumsum(axis=0) / count.clip(min=1)
    square = np.where(seen, values**2, 0).cumsum(axis=0) / count.clip(min=1)
    columns = (
        last,
        seen,
        np.log1p(hours[:, None] - np.where(ever, hours[latest], 0)),
        np.minimum.accumulate(np.where(seen, values, np.inf), axis=0),
        np.maximum.accumulate(np.where(seen, values, -np.inf), axis=0),
        mean,
        last - first,
        count,
        np.sqrt((square - mean**2).clip(min=0)),
    )
    always = {"seen", "age", "count"}
    return np.hstack(
        [
            column if name in always else np.where(ever, column, np.nan)
            for name, column in zip(STATISTICS, columns, strict=True)
        ]
    )
