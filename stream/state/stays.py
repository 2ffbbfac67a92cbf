"""What is known of a stay besides the model's row: clock, place in the log and count. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import Kind, Packing

STAY = np.dtype(
    [
        (name, np.int64)
        for name in ("started_at", "observed_at", "seen_at", "next_offset", "events", "admitted")
    ]
)
"""One stay. started_at, observed_at: times of its first and its latest event, ms since the Unix epoch.
seen_at: the partition's stream time when its last event was applied, ms. next_offset: after its last applied
event. events: how many so far, 0 in a cleared slot. admitted: 1 once an admission was applied."""

MS_PER_HOUR = 3_600_000.0


@dataclass(frozen=True, slots=True, repr=False)
class Moments:
    """When and where N events happened, in packed order.

    kinds: int8 [N]. observed_at: int64 [N] ms. offsets: int64 [N]. stream_times: int64 [N], ms: the latest
    `observed_at` in the event's partition so far, this included (Kafka Streams' stream time).
    """

    kinds: NDArray[np.int8]
    observed_at: NDArray[np.int64]
    offsets: NDArray[np.int64]
    stream_times: NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Timeline:
    """What the stays say of N events in packed order.

    elapsed: float32 [N], hours since the patient's previous event, 0 at the first and at a late one.
    hours: float32 [N], from the stay's first event to its latest, this included.
    late: bool [N], older than an event before it. counts: int64 [N], events of the stay, this included.
    again: bool [N], nothing of what was known before holds: an admission of a patient who was admitted, or
    the first event after the stay expired.
    """

    elapsed: NDArray[np.float32]
    hours: NDArray[np.float32]
    late: NDArray[np.bool_]
    counts: NDArray[np.int64]
    again: NDArray[np.bool_]


def advance(stays: NDArray[np.void], packing: Packing, moments: Moments, expire_after_ms: int) -> Timeline:
    """Carry the stays of `packing.groups`, `STAY` [G], through the events; they are changed in place.

    A stay expires when the stream time is more than `expire_after_ms` past its `seen_at`: this depends on the
    log alone, never on when expired stays are cleared away.
    """
    count = len(packing.order)
    elapsed, hours, late = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.bool_)
    counts, again = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    only_observations = not moments.kinds.any()
    start = 0
    for size in packing.sizes.tolist():
        rows, stay = slice(start, start + size), stays[:size]
        observed_at, stream_times = moments.observed_at[rows], moments.stream_times[rows]
        over = expired(stay, stream_times, expire_after_ms)
        if not only_observations:
            admitted = moments.kinds[rows] == Kind.ADMISSION
            over |= admitted & (stay["admitted"] == 1)
        if over.any():
            again[rows] = over
            stay[over] = 0
        if not only_observations:
            stay["admitted"][admitted] = 1
        first = stay["events"] == 0
        for clock in ("started_at", "observed_at"):
            np.copyto(stay[clock], observed_at, where=first)
        ahead = observed_at - stay["observed_at"]
        late[rows] = ahead < 0
        elapsed[rows] = np.maximum(ahead, 0) / MS_PER_HOUR
        np.maximum(stay["observed_at"], observed_at, out=stay["observed_at"])
        hours[rows] = (stay["observed_at"] - stay["started_at"]) / MS_PER_HOUR
        stay["seen_at"] = stream_times
        stay["next_offset"] = moments.offsets[rows] + 1
        stay["events"] += 1
        counts[rows] = stay["events"]
        if not only_observations:
            over = moments.kinds[rows] == Kind.DISCHARGE
            stay[over] = 0
            stay["next_offset"][over] = moments.offsets[rows][over] + 1
        start += size
    return Timeline(elapsed, hours, late, counts, again)


def expired(
    stays: NDArray[np.void], stream_times: NDArray[np.int64] | int, expire_after_ms: int
) -> NDArray[np.bool_]:
    """bool [G]: the patient has been silent for more than `expire_after_ms` of event time."""
    silent = stream_times - stays["seen_at"]
    return (silent > expire_after_ms) & (stays["events"] > 0)
