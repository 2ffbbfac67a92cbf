"""What is known of a stay besides the model's row: its clock and its count of events. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import Kind, Packing

STAY = np.dtype([("observed_at", np.int64), ("events", np.int64), ("admitted", np.int64)])
"""One stay. observed_at: time of its latest event, ms since the Unix epoch. events: how many since admission,
0 in a cleared slot. admitted: 1 once an admission was applied."""

MS_PER_HOUR = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the stays say of N events in packed order.

    hours: float32 [N], since the patient's previous event, 0 at the first and where the event is late.
    late: bool [N], older than an event before it. counts: int64 [N], events of the stay, this included.
    again: bool [N], an admission of a patient who was admitted: a new stay begins.
    """

    hours: NDArray[np.float32]
    late: NDArray[np.bool_]
    counts: NDArray[np.int64]
    again: NDArray[np.bool_]


def advance(
    stays: NDArray[np.void], packing: Packing, kinds: NDArray[np.int8], observed_at: NDArray[np.int64]
) -> Timeline:
    """Carry the stays of `packing.groups`, `STAY` [G], through the events; they are changed in place.

    kinds: int8 [N], observed_at: int64 [N] ms, both in packed order.
    """
    count = len(packing.order)
    hours, late = np.zeros(count, np.float32), np.zeros(count, np.bool_)
    counts, again = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    only_observations = not kinds.any()
    start = 0
    for size in packing.sizes.tolist():
        rows, stay = slice(start, start + size), stays[:size]
        if not only_observations:
            admitted = kinds[rows] == Kind.ADMISSION
            again[rows] = admitted & (stay["admitted"] == 1)
            stay[again[rows]] = 0
            stay["admitted"][admitted] = 1
        ahead = observed_at[rows] - stay["observed_at"]
        ahead[stay["events"] == 0] = 0
        late[rows] = ahead < 0
        hours[rows] = np.maximum(ahead, 0) / MS_PER_HOUR
        np.copyto(stay["observed_at"], observed_at[rows], where=~late[rows])
        stay["events"] += 1
        counts[rows] = stay["events"]
        if not only_observations:
            stay[kinds[rows] == Kind.DISCHARGE] = 0
        start += size
    return Timeline(hours, late, counts, again)
