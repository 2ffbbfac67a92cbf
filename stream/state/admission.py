"""Admission: what of a micro-batch is new to the state, and where each patient's state is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import Code, Events, Refused
from stream.state.repeats import repeats
from stream.state.slots import Slot
from stream.state.stays import expired
from stream.state.store import StateStore


@dataclass(frozen=True, slots=True)
class Admission:
    """events: those to step. slots: int64 [N], of their patients. stream_times: int64 [N], ms.
    repeated: what was sent twice in a row. applied: how many the state held already."""

    events: Events
    slots: Slot
    stream_times: NDArray[np.int64]
    repeated: Refused
    applied: int


def admit(store: StateStore, events: Events, expire_after_ms: int) -> Admission:
    """Give each event's patient a slot and carry the stream times on. Raises `StateError`."""
    slots = store.admit(events.patients, events.partitions)
    stays = store.stays(slots)
    stream_times = store.stream_times(events.partitions, events.observed_at)
    fresh = events.offsets >= stays["next_offset"]
    applied = len(events) - int(fresh.sum())
    if applied:  # the stream time is theirs too: the mark that has it may be older than the state
        events, slots, stays = events.keep(fresh), slots[fresh], stays[fresh]
        stream_times = stream_times[fresh]
    over = expired(stays, stream_times, expire_after_ms)
    last = np.where(over, np.uint64(0), store.digests(slots))
    repeated = repeats(slots, events.digests, last, events.kinds)
    refused = events.refuse(repeated, Code.DUPLICATE, "state")
    novel = ~repeated
    return Admission(events.keep(novel), slots[novel], stream_times[novel], refused, applied)
