"""What a model learns from: stays, their outcomes and, with a teacher, what it says of each step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import Stays

RAMP_HOURS = 48.0
"""The weight of a step rises linearly up to this hour and on."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Stays (free of implausible values) with what is to be learnt.

    died: bool [P]. targets: float32 [P + E], the probability to learn at every step, flat in the order of
    `model.datasets.padding.step_starts`; None: the outcome itself.
    """

    stays: Stays
    died: NDArray[np.bool_]
    targets: NDArray[np.float32] | None = None

    def digest(self) -> str:
        """SHA-256 of all of it: what a checkpoint knows the data by."""
        stays, made = self.stays, hashlib.sha256()
        columns = (stays.record_ids, stays.statics, stays.starts, stays.minutes, stays.values, self.died)
        for column in (*columns, *(() if self.targets is None else (self.targets,))):
            made.update(np.ascontiguousarray(column).data)
        return made.hexdigest()

    def select(self, patients: NDArray[np.int64]) -> Examples:
        """These patients, with their outcomes as targets."""
        return Examples(self.stays.select(patients), self.died[patients])
