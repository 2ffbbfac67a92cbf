"""Assessment of a patient's last vital signs without a model: staleness and NEWS2. Pure numpy.

NEWS2: Royal College of Physicians. National Early Warning Score (NEWS) 2: Standardising the
assessment of acute-illness severity in the NHS. London: RCP, 2017. SpO2 scale 1. Consciousness is
read from the Glasgow coma score: 15 is alert, less is not (RCP's ACVPU). Oxygen: an inspired fraction
above 0.21 is supplemental.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.variables import VITAL_SIGNS
from stream.columns.scores import Assessment

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Band:
    """Points of one parameter: `points[i]` below `edges[i]`, the last from the last edge on.

    The chart's bands are of whole numbers (temperature: tenths). A value between two of them is rounded as
    for a chart, half up: an edge lies half a step above the last value of its band and belongs to the next,
    so that a respiratory rate of 20.5 is 21 and scores 2, and a temperature of 35.05 is 35.1 and scores 1.
    """

    edges: tuple[float, ...]
    points: tuple[int, ...]


BANDS = {
    "respiratory_rate": Band((8.5, 11.5, 20.5, 24.5), (3, 1, 0, 2, 3)),
    "oxygen_saturation": Band((91.5, 93.5, 95.5), (3, 2, 1, 0)),
    "systolic_pressure": Band((90.5, 100.5, 110.5, 219.5), (3, 2, 1, 0, 3)),
    "heart_rate": Band((40.5, 50.5, 90.5, 110.5, 130.5), (3, 1, 0, 1, 2, 3)),
    "consciousness": Band((14.5,), (3, 0)),
    "temperature": Band((35.05, 36.05, 38.05, 39.05), (3, 1, 0, 1, 2)),
}
OXYGEN = Band((0.215,), (0, 2))
OXYGEN_STALE_AFTER_HOURS = 8.0
"""As long as consciousness: charted four-hourly, and when it is changed."""
SIGNS = tuple(sign.name for sign in VITAL_SIGNS)


class VitalSigns:
    """Reads the vital signs out of the `vitals` and `ages` of `stream.columns.scores.Scores`.

    columns: the variable of each of the K columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = {
            sign.name: [columns.index(name) for name in sign.variables if name in columns]
            for sign in VITAL_SIGNS
        }
        self._oxygen = columns.index("FiO2")

    def assess(self, vitals: Floats, ages: Floats) -> Assessment:
        """vitals: float32 [N, K], NaN where never measured. ages: float32 [N, K], hours."""
        stale = np.zeros(len(vitals), np.int64)
        news2 = np.zeros(len(vitals), np.int64)
        oxygen = _freshest(vitals, ages, [self._oxygen], OXYGEN_STALE_AFTER_HOURS)
        news2 += _points(OXYGEN, oxygen)
        for bit, sign in enumerate(VITAL_SIGNS):
            value = _freshest(vitals, ages, self._columns[sign.name], sign.stale_after_hours)
            stale |= np.isnan(value).astype(np.int64) << bit
            news2 += _points(BANDS[sign.name], value)
        return Assessment(stale, news2, (stale == 0) & ~np.isnan(oxygen))


def _freshest(vitals: Floats, ages: Floats, columns: list[int], limit: float) -> Floats:
    """The youngest of the columns that measure one sign, the first of those of one age: an arterial line
    measures what a cuff estimates. NaN if all are stale or missing."""
    value = np.full(len(vitals), np.nan, np.float32)
    age = np.full(len(vitals), limit, np.float32)
    for column in reversed(columns):
        younger = (ages[:, column] <= age) & ~np.isnan(vitals[:, column])
        value = np.where(younger, vitals[:, column], value)
        age = np.where(younger, ages[:, column], age)
    return value


def _points(band: Band, value: Floats) -> NDArray[np.int64]:
    table = np.array([*band.points, 0], np.int64)
    index = np.searchsorted(np.array(band.edges, np.float32), value, side="right")
    return table[np.where(np.isnan(value), len(band.points), index)]
