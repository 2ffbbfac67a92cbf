"""States in host memory: those of the patients who have no slot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.stays.record import STAY


@dataclass(frozen=True, slots=True, repr=False)
class Evicted:
    """One patient's state. The changelog has it, or will."""

    row: NDArray[np.float32]
    stay: np.void


class EvictedStates(dict[int, dict[bytes, Evicted]]):
    """Partition → patient → state, in the order in which they were evicted."""

    def stays(self) -> NDArray[np.void]:
        """`STAY` [N]."""
        return np.array([kept.stay for patients in self.values() for kept in patients.values()], STAY)

    def expires_from(self, partition: int) -> int | None:
        """When the first of the partition expires, ms; None if it has none."""
        first = next(iter(self.get(partition, {}).values()), None)
        return None if first is None else int(first.stay["expires_at"])

    def expire(self, partition: int, now: int) -> dict[bytes, np.void]:
        """Remove those at the head of the order that have expired: patient → stay."""
        patients, over = self.get(partition, {}), {}
        for patient, kept in patients.items():
            if kept.stay["expires_at"] >= now:
                break
            over[patient] = kept.stay
        for patient in over:
            del patients[patient]
        return over
