"""Scores as columns: row i of each column is one scored event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Events


@dataclass(frozen=True, slots=True, repr=False)
class Contributions:
    """What moved M of a batch's scores most: K variables each, the largest effect first.

    rows: int64 [M], of the scores. The rest is [M, K]: variables: int64, places in `model.variables`.
    effects: float32, change of the risk's log-odds. values: float32, last measured, NaN if there is no
    further variable. previous: float32, measured before that, NaN if never; gaps: float32, hours between the
    two. extremes: int8, 1 for the highest of the stay, -1 for the lowest, else 0. ages: float32, hours since
    the last was measured.
    """

    rows: NDArray[np.int64]
    variables: NDArray[np.int64]
    effects: NDArray[np.float32]
    values: NDArray[np.float32]
    previous: NDArray[np.float32]
    gaps: NDArray[np.float32]
    extremes: NDArray[np.int8]
    ages: NDArray[np.float32]


@dataclass(frozen=True, slots=True, repr=False)
class Scores:
    """What the stepper says of `events`: row i of each column is event i, admissions and observations only.

    risk: float32 [N], calibrated probability. counts: int64 [N], events of the stay so far.
    late: bool [N], older than an event that was applied before. closed: bool [N], of a stay that has ended.
    vitals: float32 [N, K], last value, by event time, of each of `stream.stays.record.VITALS`, NaN if never.
    ages: float32 [N, K], hours since it was measured. places: uint64 [N, 3], as in `Events`, of the stay.
    contributions: of the scores that are to be explained.
    """

    events: Events
    risk: NDArray[np.float32]
    counts: NDArray[np.int64]
    late: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    vitals: NDArray[np.float32]
    ages: NDArray[np.float32]
    places: NDArray[np.uint64]
    contributions: Contributions | None = None

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far what came lately is from what the model was made with, as population stability indices
    (`stream.drift.stability`): NaN if too little came, or nothing is known of the model.

    values: float64 [V], of each variable's values. measured: float64 [V], of how often it is measured.
    """

    values: NDArray[np.float64]
    measured: NDArray[np.float64]
    risk: float

    @classmethod
    def unknown(cls, variables: int) -> Self:
        return cls(np.full(variables, np.nan), np.full(variables, np.nan), np.nan)


@dataclass(frozen=True, slots=True, repr=False)
class Assessment:
    """What the last vital signs say of each of N patients.

    stale: int64 [N], bit i set if vital sign i (`model.variables.VITAL_SIGNS`) is stale or was never
    measured. news2: int64 [N], 0 to 20; a missing or stale parameter counts 0. complete: bool [N].
    """

    stale: NDArray[np.int64]
    news2: NDArray[np.int64]
    complete: NDArray[np.bool_]
