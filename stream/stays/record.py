"""What is known of a patient besides the model's row: the stay, the last vital signs, the events that were
taken lately. Pure numpy: what happens to it is in `stream.stays.walk` and `stream.stays.encounters`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.variables import INDEX

VITALS = ("HR", "SysABP", "NISysABP", "RespRate", "Temp", "SaO2", "FiO2", "MechVent", "GCS")
"""Variables of which the last value is kept by event time, whatever the model makes of it."""
VITAL_COLUMNS = np.array([INDEX[name] for name in VITALS])
BEDSIDE = ("HR", "SysABP", "NISysABP", "RespRate", "GCS")
"""Those of `VITALS` that are measured at the bed. The others stand in a blood gas analysis as well."""
BEDSIDE_COLUMNS = np.array([VITALS.index(name) for name in BEDSIDE])

WHEREABOUTS = ("unit", "bed")
PLACE = ("encounter", *WHEREABOUTS)
"""Columns of `STAY` and of `stream.columns.events.Events.places`: hashes of texts."""

REMEMBERED = 32
"""Events by which a repeat is known."""

STAY = np.dtype(
    [
        *((name, np.int64) for name in ("started_at", "earliest_at", "observed_at", "expires_at")),
        *((name, np.int64) for name in ("next_offset", "events")),
        *((name, np.int64) for name in ("admitted_at", "described_at", "closed_at", "cancelled_at")),
        *((name, np.int64) for name in ("floor", "unit_at", "bed_at", "remembered", "left_at")),
        *((name, np.uint64) for name in (*PLACE, "left", "closed_of")),
        ("recent", np.uint32, (REMEMBERED,)),
        ("recent_high", np.uint16, (REMEMBERED,)),
        ("measured_at", np.int64, (len(VITALS),)),
        ("vitals", np.float32, (len(VITALS),)),
        ("named", np.bool_),
        ("filling", "V3"),
    ]
)
"""One patient. All is 0 in a cleared slot; a patient is known while `expires_at` is not 0. Times are event
time, ms since the Unix epoch; 0 is never.

started_at, observed_at: of the first event of the stay that arrived, and of its latest: the model's clock.
earliest_at: of the earliest that shows the patient here. expires_at: stream time of the partition after
which all is forgotten. next_offset: after the last event that was applied. events: of the stay that have a
score. admitted_at, described_at: of the admission, and of the last one whose statics count. closed_at: of
the discharge. cancelled_at: of the last cancellation of one. closed_of: the encounter that the later of both
named. left, left_at: encounter and time of the last discharge of another encounter, whose admission may be
to come. floor: what was observed before belongs to an earlier stay, unless it names the encounter. unit_at:
of what last named the unit. bed_at: of what last named the bed, or of the move to a unit since. remembered:
events that `recent` has seen, of which the low 32 and next 16 bits of each digest stand in turn. encounter,
unit, bed: hashes, as in `stream.columns.events.Events.places`. named: more than a laboratory has named the
encounter. vitals, measured_at: last value of `VITALS` and when it was observed."""

RAW = np.dtype((np.void, STAY.itemsize))
"""The bytes of a stay: numpy moves these ten times faster than the fields one by one."""

RECENT_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Periods:
    """ms of event time. expire_after: of silence, after which a stay is over. discharge_grace: for which a
    discharged patient is still known."""

    expire_after: int
    discharge_grace: int


def selected(stays: NDArray[np.void], rows: NDArray[Any]) -> NDArray[np.void]:
    """A copy of some stays, as `stays[rows]`, but faster."""
    chosen: NDArray[np.void] = stays.view(RAW)[rows].view(STAY)
    return chosen


def replace(stays: NDArray[np.void], rows: NDArray[Any], new: NDArray[np.void]) -> None:
    """As `stays[rows] = new`, but faster."""
    stays.view(RAW)[rows] = new.view(RAW)


def expired(stays: NDArray[np.void], stream_times: NDArray[np.int64] | int) -> NDArray[np.bool_]:
    """bool [G]: nothing of the patient counts any more."""
    at: NDArray[np.int64] = stays["expires_at"]
    return (at < stream_times) & (at > 0)


def repeated(stays: NDArray[np.void], digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """bool [G]: each patient's event is among those remembered. digests: uint64 [G]."""
    same = stays["recent"] == digests.astype(np.uint32)[:, None]
    if not same.any():
        return np.zeros(len(stays), np.bool_)
    same &= stays["recent_high"] == (digests >> RECENT_BITS).astype(np.uint16)[:, None]
    same &= np.arange(REMEMBERED) < stays["remembered"][:, None]
    known: NDArray[np.bool_] = same.any(axis=1)
    return known


def remember(
    stays: NDArray[np.void], rows: NDArray[np.int64], before: NDArray[np.int64], digests: NDArray[np.uint64]
) -> None:
    """The events of `rows` are remembered, those of a row in order; the oldest beyond `REMEMBERED` are
    forgotten. rows, before, digests: [N]; before: how many of the row's events stand before this one."""
    places = (stays["remembered"][rows] + before) % REMEMBERED
    stays["recent"][rows, places] = digests.astype(np.uint32)
    stays["recent_high"][rows, places] = (digests >> RECENT_BITS).astype(np.uint16)
    stays["remembered"] += np.bincount(rows, minlength=len(stays))


def measure(stays: NDArray[np.void], values: NDArray[np.float32], observed_at: NDArray[np.int64]) -> None:
    """Keep each patient's `VITALS`, float32 [G, K], NaN if not measured, unless newer ones are known."""
    at = observed_at[:, None]
    newer = (values == values) & (at >= stays["measured_at"])
    np.copyto(stays["vitals"], values, where=newer)
    np.copyto(stays["measured_at"], at, where=newer)
