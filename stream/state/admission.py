"""Admission: what of a micro-batch is new to the state, and the slot of each patient's state."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Code, Events, Refused
from stream.state.slots import Slot
from stream.state.store import StateStore


@dataclass(frozen=True, slots=True)
class Admitted:
    """events: those to step. slots: int64 [N], of their patients. stream_times: int64 [N], ms.
    refused: what happened too long ago. applied: how many are left out, since the state
    holds them already."""

    events: Events
    slots: Slot
    stream_times: NDArray[np.int64]
    refused: Refused
    applied: int

    def keep(self, rows: NDArray[np.bool_]) -> Admitted:
        """With these events alone, bool [N]."""
        return replace(
            self, events=self.events.keep(rows), slots=self.slots[rows], stream_times=self.stream_times[rows]
        )


def admit(store: StateStore, events: Events, max_past_ms: int) -> Admitted:
    """Give each event's patient a slot and carry the stream times on. Raises `StateError`.

    An event is refused if it happened more than `max_past_ms` before its record's time or the stream time:
    the log alone decides, not when it is read.
    """
    stream_times = store.stream_times(events.partitions, events.observed_at)
    past = events.observed_at < np.maximum(stream_times, events.timestamps) - max_past_ms
    refused = events.refuse(past, Code.PAST, "state")
    events, stream_times = events.keep(~past), stream_times[~past]
    slots = store.admit(events.patients, events.partitions)
    store.names.learn(events.names)
    fresh = events.offsets >= store.next_offsets(slots)
    applied = len(events) - int(fresh.sum())
    if applied:
        events, slots, stream_times = events.keep(fresh), slots[fresh], stream_times[fresh]
    return Admitted(events, slots, stream_times, refused, applied)
