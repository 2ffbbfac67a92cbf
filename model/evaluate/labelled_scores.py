"""Scores beside what became of the patients: the one place that sorts, groups and matches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import Outcomes
from model.errors import DatasetError

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """The N scores of the P patients that have an outcome, by patient, then hour, then the order given.

    order: int64 [N], the rows of the given columns. hours, risks: float64 [N]. starts: int64 [P], where each
    patient's scores begin. record_ids: int64 [P], ascending. died: bool [P].
    unscored: patients with an outcome and no score. unknown: patients with a score and no outcome.
    """

    order: Integers
    hours: Floats
    risks: Floats
    starts: Integers
    record_ids: Integers
    died: Bools
    unscored: int
    unknown: int

    @classmethod
    def of(cls, patients: Integers, hours: Floats, risks: NDArray[np.floating], outcomes: Outcomes) -> Self:
        """patients (record ids), hours (since admission), risks: [N], one row a score, in the order in which
        they were made. Raises `DatasetError` if no scored patient has an outcome."""
        known = np.isin(patients, outcomes.record_ids)
        if not known.any():
            raise DatasetError("no score is of a patient with an outcome")
        rows = np.flatnonzero(known)
        order = rows[np.lexsort((hours[rows], patients[rows]))]
        record_ids, starts = np.unique(patients[order], return_index=True)
        return cls(
            order=order,
            hours=hours[order],
            risks=risks[order].astype(np.float64),
            starts=starts,
            record_ids=record_ids,
            died=outcomes.of(record_ids.astype(np.int32)),
            unscored=len(np.setdiff1d(outcomes.record_ids, record_ids)),
            unknown=len(np.unique(patients[~known])),
        )

    def __len__(self) -> int:
        return len(self.hours)

    def known_by(self, until: float | None) -> tuple[Integers, Floats]:
        """The position, int64 [Q], of each patient with a score at or before this hour, and the risk of the
        last such score, float64 [Q]. until: None takes the last score of all."""
        within = self.hours <= (np.inf if until is None else until)
        counts = np.add.reduceat(within.astype(np.int64), self.starts)
        patients = np.flatnonzero(counts)
        return patients, self.risks[self.starts[patients] + counts[patients] - 1]

    def spans(self) -> tuple[Floats, Floats]:
        """Hours of the first and of the last score of each patient: float64 [P] each."""
        ends = np.append(self.starts[1:], len(self)) - 1
        return self.hours[self.starts], self.hours[ends]
