"""What trees learn from: statistics of each variable at every step of a stay. None sees the future.

Those of `running_statistics` can be updated in O(1) an event; those of `recent_statistics` need the values of
the last hours, so that only a teacher reads them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.datasets.padding import step_hours, step_starts
from model.datasets.stays import Stays
from model.variables import INDEX, STATICS, VARIABLES

STATISTICS = ("last", "seen", "age", "minimum", "maximum", "mean", "change", "count", "spread")
"""Of each variable; age: log1p hours since measured, since admission where never; change: last - first."""
COLUMNS = len(STATISTICS) * len(VARIABLES) + len(STATICS) + 2

RECENT_HOURS = (6.0, 12.0)
"""How far back `recent_statistics` looks."""
RECENT_COLUMNS = 2 * len(RECENT_HOURS) * len(VARIABLES) + 1


def statistics(stays: Stays) -> NDArray[np.float32]:
    """`running_statistics`, then `recent_statistics`: [P + E, COLUMNS + RECENT_COLUMNS]."""
    return np.hstack((running_statistics(stays), recent_statistics(stays)))


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


def recent_statistics(stays: Stays) -> NDArray[np.float32]:
    """[P + E, RECENT_COLUMNS] for every step, flat in the order of `step_starts`: for each of `RECENT_HOURS`
    the variables' means over them, then how far these are from the means since admission (NaN where not
    measured in them); last, the urine (mL) an hour since admission, over one hour at least."""
    starts, hours = step_starts(stays), step_hours(stays)
    table = np.empty((int(starts[-1]), RECENT_COLUMNS), dtype=np.float32)
    for patient in range(len(stays)):
        steps = slice(int(starts[patient]), int(starts[patient + 1]))
        table[steps] = _lately(stays.values[stays.rows(patient)], hours[steps])
    return table


def _lately(observed: NDArray[np.float32], hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """observed: [T - 1, V], hours: [T] -> [T, RECENT_COLUMNS]; the first step measures nothing."""
    # Row t: what was measured, and its sum, before step t.
    observed = np.vstack((np.full((1, len(VARIABLES)), np.nan), observed))
    counts, sums = (
        np.vstack((np.zeros(len(VARIABLES)), part.cumsum(axis=0, dtype=np.float64)))
        for part in (np.isfinite(observed), np.nan_to_num(observed))
    )
    columns = []
    with np.errstate(invalid="ignore"):
        since_admission = sums[1:] / counts[1:]
        for width in RECENT_HOURS:
            begins = np.searchsorted(hours, hours - width, side="right")
            recent = (sums[1:] - sums[begins]) / (counts[1:] - counts[begins])
            columns += [recent, recent - since_admission]
    urine = sums[1:, INDEX["Urine"]] / hours.clip(min=1)
    return np.hstack((*columns, urine[:, None]))


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
