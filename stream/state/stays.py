"""What is known of a stay besides the model's row: its clock and its count of events. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import Kind, Packing

STAY = np.dtype([(name, np.int64) for name in ("started_at", "observed_at", "events", "admitted")])
"""One stay. started_at, observed_at: times of its first and its latest event, ms since the Unix epoch.
events: how many so far, 0 in a cleared slot. admitted: 1 once an admission was applied."""

MS_PER_HOUR = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the stays say of N events in packed order.

    elapsed: float32 [N], hours since the patient's previous event, 0 at the first and at a late one.
    hours: float32 [N], from the stay's first event to its latest, this included.
    late: bool [N], older than an event before it. counts: int64 [N], events of the stay, this included.
    again: bool [N], an admission of a patient who was admitted: a new stay begins.
    """

    elapsed: NDArray[np.float32]
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
    elapsed, hours, late = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.bool_)
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
        first = stay["events"] == 0
        for clock in ("started_at", "observed_at"):
            np.copyto(stay[clock], observed_at[rows], where=first)
        ahead = observed_at[rows] - stay["observed_at"]
        late[rows] = ahead < 0
        elapsed[rows] = np.maximum(ahead, 0) / MS_PER_HOUR
        np.maximum(stay["observed_at"], observed_at[rows], out=stay["observed_at"])
        hours[rows] = (stay["observed_at"] - stay["started_at"]) / MS_PER_HOUR
        stay["events"] += 1
        counts[rows] = stay["events"]
        if not only_observations:
            stay[kinds[rows] == Kind.DISCHARGE] = 0
        start += size
    return Timeline(elapsed, hours, late, counts, again)
