"""Recorded stays as columns: what every dataset reader yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError
from model.variables import STATIC_RANGES, STATICS, VARIABLES, Sex, UnitType

MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True)
class Stays:
    """Stays of P patients with E observation events, as recorded: implausible values included.

    A stay's events are the admission (its row of `statics`, at minute 0), then the observations
    `starts[p]:starts[p + 1]`, in time order; one observation is all that was measured at one minute.

    record_ids: int32 [P]. starts: int64 [P + 1]. minutes: int32 [E], since admission.
    statics: float32 [P, 5] in the order of `STATICS`, NaN where the record has none.
    values: float32 [E, 37] in the order of `VARIABLES`, NaN where not measured.
    """

    record_ids: NDArray[np.int32]
    statics: NDArray[np.float32]
    starts: NDArray[np.int64]
    minutes: NDArray[np.int32]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.record_ids)

    def rows(self, patient: int) -> slice:
        """The patient's observations in `minutes` and `values`."""
        return slice(int(self.starts[patient]), int(self.starts[patient + 1]))

    def select(self, patients: NDArray[np.int64]) -> Stays:
        """These patients' stays, in the given order. patients: positions, int64 [N]."""
        lengths = np.diff(self.starts)[patients]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        rows = np.arange(starts[-1]) + np.repeat(self.starts[patients] - starts[:-1], lengths)
        return Stays(
            self.record_ids[patients], self.statics[patients], starts, self.minutes[rows], self.values[rows]
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The stays of all parts, one after the other."""
        ends = np.cumsum([part.starts[-1] for part in parts])
        begins = np.concatenate(([0], ends[:-1]))
        return cls(
            np.concatenate([part.record_ids for part in parts]),
            np.concatenate([part.statics for part in parts]),
            np.concatenate(
                [*(part.starts[:-1] + at for part, at in zip(parts, begins, strict=True)), ends[-1:]]
            ),
            np.concatenate([part.minutes for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """record_ids: int32 [P]. died: bool [P], death in hospital."""

    record_ids: NDArray[np.int32]
    died: NDArray[np.bool_]

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The outcomes of all parts, one after the other."""
        return cls(
            np.concatenate([part.record_ids for part in parts]), np.concatenate([part.died for part in parts])
        )

    def of(self, record_ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """`died` in the order of `record_ids`; raises `DatasetError` if one has no outcome."""
        by_id = dict(zip(self.record_ids.tolist(), self.died.tolist(), strict=True))
        if missing := len(np.setdiff1d(record_ids, self.record_ids)):
            raise DatasetError(f"{missing} patients have no outcome")
        return np.array([by_id[record] for record in record_ids.tolist()], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Statics:
    """What is known of P patients at admission, implausible values left out.

    record_ids: int32 [P]. values: float32 [P, 5] in the order of `STATICS`, NaN where unknown.
    """

    record_ids: NDArray[np.int32]
    values: NDArray[np.float32]

    def of(self, record_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows of these patients, float32 [N, 5]; NaN for one that is not among them."""
        rows = dict(zip(self.record_ids.tolist(), range(len(self.record_ids)), strict=True))
        table = np.vstack([self.values, np.full((1, len(STATICS)), np.nan, np.float32)])
        return table[[rows.get(record, -1) for record in record_ids.tolist()]]


def drop_implausible(stays: Stays) -> Stays:
    """The stays with values outside the ranges `Variable.trained` made NaN, for training and offline scoring.

    The stream decides for itself, from the same table: see `model.shown`. Bounds are rounded to float32 as
    the values are, so that a value on a bound (FiO2 0.21) is plausible here and there.
    """
    low, high = np.array([variable.trained for variable in VARIABLES], dtype=np.float32).T
    plausible = (stays.values >= low) & (stays.values <= high)
    values = np.where(plausible, stays.values, np.float32(np.nan))
    return replace(stays, values=values, statics=plausible_statics(stays.statics))


def plausible_statics(statics: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [P, 5], as `Stays.statics`, with what cannot be true made NaN."""
    cleaned = statics.copy()
    for column, name in enumerate(STATICS):
        if name in STATIC_RANGES:
            known = STATIC_RANGES[name]
            plausible = (statics[:, column] >= known.low) & (statics[:, column] <= known.high)
        else:
            codes = Sex if name == "sex" else UnitType
            plausible = np.isin(statics[:, column], [code.value for code in codes])
        cleaned[~plausible, column] = np.nan
    return cleaned
