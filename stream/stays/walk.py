"""Carries the patients' stays through the events of a micro-batch, one event a patient after the other. Pure
numpy.

Which events are repeats, which are refused, which begin a stay, and what was known at each: all of it depends
on the log alone, never on how the log was cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Code, Kind, Packing
from stream.stays.encounters import Happening, rule
from stream.stays.moments import Columns, Lanes, Moments, Trace
from stream.stays.record import (
    PLACE,
    Periods,
    expired,
    measure,
    remember,
    repeated,
    replace,
    selected,
)
from stream.stays.steady import carry_at_once, steady

MS_PER_HOUR = 3_600_000.0
REFUSALS = (Code.DUPLICATE, Code.EARLIER_STAY, Code.OTHER_ENCOUNTER)
"""`Timeline.codes` has 1 + their places; 0 is accepted."""
DUPLICATE = 1 + REFUSALS.index(Code.DUPLICATE)


@dataclass(frozen=True, slots=True, repr=False)
class Timeline(Columns):
    """What the stays say of N events in packed order; of those without a score, `codes` and `silent` alone.

    codes: int8 [N], by `REFUSALS`. scored: bool [N], observations and admissions that are accepted.
    elapsed: float32 [N], hours since the patient's previous event, 0 at the first and at a late one.
    hours: float32 [N], from the stay's first event to its latest, this included. at: float32 [N], to this
    one. late: bool [N], older than an event before it. counts: int64 [N], events of the stay, this included.
    begins: bool [N], nothing of what was known before holds. described: bool [N], the statics of an admission
    count. silent: bool [N], the stay before ended by silence. closed: bool [N], the stay is over. vitals,
    ages: float32 [N, K], last value of `VITALS`, NaN if never measured, and hours since. places: uint64 [N,
    3], as in `stream.columns.events.Events`.
    """

    codes: NDArray[np.int8]
    scored: NDArray[np.bool_]
    elapsed: NDArray[np.float32]
    hours: NDArray[np.float32]
    at: NDArray[np.float32]
    late: NDArray[np.bool_]
    counts: NDArray[np.int64]
    begins: NDArray[np.bool_]
    described: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    vitals: NDArray[np.float32]
    ages: NDArray[np.float32]
    places: NDArray[np.uint64]

    @classmethod
    def of(cls, moments: Moments, trace: Trace) -> Self:
        scored = (trace.codes == 0) & (moments.kinds <= Kind.ADMISSION)
        first, since = trace.events == 1, trace.observed_at[:, None] - trace.measured_at
        return cls(
            codes=trace.codes,
            scored=scored,
            elapsed=_hours(np.where(first, 0, np.maximum(trace.ahead, 0))),
            hours=_hours(trace.observed_at - trace.started_at),
            at=_hours(moments.observed_at - trace.started_at),
            late=moments.observed_at < trace.observed_at,
            counts=trace.events,
            begins=first & scored,
            described=trace.described,
            silent=trace.silent,
            closed=trace.closed_at > 0,
            vitals=np.where(trace.measured_at > 0, trace.vitals, np.float32(np.nan)),
            ages=_hours(np.maximum(since, 0)),
            places=trace.places,
        )


def _hours(ms: NDArray[np.int64]) -> NDArray[np.float32]:
    return (ms / MS_PER_HOUR).astype(np.float32)


def walk(stays: NDArray[np.void], packing: Packing, moments: Moments, periods: Periods) -> Timeline:
    """Carry the stays of `packing.groups`, `STAY` [G], through the events; they are changed in place."""
    trace, lanes = Trace.blank(len(packing.order)), Lanes(packing.sizes)
    simple = steady(stays, lanes, moments, periods)
    for chosen, carry in ((simple, carry_at_once), (~simple, carry_in_waves)):
        if chosen.all():
            carry(stays, lanes, moments, trace, periods)
        elif chosen.any():
            events = chosen[lanes.rows]
            theirs, part = selected(stays, chosen), trace.part(events)
            carry(theirs, lanes.part(events), moments.part(events), part, periods)
            replace(stays, chosen, theirs)
            trace.put(events, part)
    return Timeline.of(moments, trace)


def carry_in_waves(stays: NDArray[np.void], lanes: Lanes, now: Moments, out: Trace, periods: Periods) -> None:
    """Wave by wave, whatever the events are."""
    start = 0
    for size in lanes.sizes.tolist():
        wave = slice(start, start + size)
        _wave(stays[:size], now.part(wave), out.part(wave), periods)
        start += size


def _wave(stays: NDArray[np.void], now: Moments, out: Trace, periods: Periods) -> None:
    over = expired(stays, now.stream_times)
    if over.any():
        stays[over] = np.zeros(1, stays.dtype)
    out.codes[repeated(stays, now.digests)] = DUPLICATE
    _rule(stays, now, out, periods)
    np.subtract(now.observed_at, stays["observed_at"], out=out.ahead)
    accepted = out.codes == 0
    scored = accepted & (now.kinds <= Kind.ADMISSION)
    if scored.all():
        for change in (_place, _advance, _note):
            change(stays, now, periods)
    else:
        for rows, change in ((accepted, _place), (scored, _advance), (out.codes != DUPLICATE, _note)):
            part = selected(stays, rows)
            change(part, now.part(rows), periods)
            replace(stays, rows, part)
    for name in ("started_at", "observed_at", "events", "closed_at", "vitals", "measured_at"):
        getattr(out, name)[:] = stays[name]
    for column, name in enumerate(PLACE):
        out.places[:, column] = stays[name]


def _rule(stays: NDArray[np.void], now: Moments, out: Trace, periods: Periods) -> None:
    """The events that are not just the next of an open stay."""
    encounters = now.places[:, 0]
    odd = (now.kinds != Kind.OBSERVATION) | (stays["closed_at"] > 0) | (now.observed_at < stays["floor"])
    odd |= (now.observed_at - stays["observed_at"] > periods.expire_after) & (stays["events"] > 0)
    if encounters.any():
        odd |= (encounters != stays["encounter"]) & (encounters > 0) & (stays["encounter"] > 0)
    if not odd.any():
        return
    encounters = np.where(now.sure | (stays["named"] & (encounters == stays["encounter"])), encounters, 0)
    for row in np.flatnonzero(odd & (out.codes == 0)).tolist():
        event = Happening(
            Kind(now.kinds[row]),
            int(now.observed_at[row]),
            int(now.stream_times[row]),
            int(encounters[row]),
        )
        ruling = rule(stays[row], event, periods)
        out.codes[row] = 0 if ruling.code is None else 1 + REFUSALS.index(ruling.code)
        out.described[row], out.silent[row] = ruling.described, ruling.silent


def _place(stays: NDArray[np.void], now: Moments, periods: Periods) -> None:
    """Keep the patient's unit and bed, and the encounter of the stay, as far as the event names them."""
    sure = now.sure
    here = sure & (now.kinds != Kind.DISCHARGE) & (now.kinds != Kind.CANCELLATION)
    if now.places.any():
        encounter = now.places[:, 0]
        known = (encounter > 0) & stays["named"]
        same = known & (encounter == stays["encounter"])
        here &= same | ~known
        places = np.where(((now.observed_at >= stays["floor"]) | same)[:, None], now.places, 0)
        encounter = places[:, 0]
        names = (encounter > 0) & ~stays["named"] & (sure | (stays["encounter"] == 0))
        np.copyto(stays["encounter"], encounter, where=names)
        stays["named"] |= names & sure
        _move(stays, places[:, 1], places[:, 2], now.observed_at)
    earlier = (now.observed_at < stays["earliest_at"]) | (stays["earliest_at"] == 0)
    np.copyto(stays["earliest_at"], now.observed_at, where=earlier & here)
    # An event that has no score, of a patient who was not known, is not forgotten at once.
    new = stays["expires_at"] == 0
    np.copyto(stays["expires_at"], now.stream_times + periods.expire_after, where=new)


def _move(
    stays: NDArray[np.void], unit: NDArray[np.uint64], bed: NDArray[np.uint64], at: NDArray[np.int64]
) -> None:
    """The bed that was known before a move to another unit is left."""
    newer = (unit > 0) & (at >= stays["unit_at"])
    left = newer & (unit != stays["unit"]) & (at > stays["bed_at"])
    placed = (bed > 0) & (left | (at >= stays["bed_at"]))
    np.copyto(stays["unit"], unit, where=newer)
    np.copyto(stays["unit_at"], at, where=newer)
    np.copyto(stays["bed"], bed, where=placed | left)
    np.copyto(stays["bed_at"], at, where=placed | left)


def _advance(stays: NDArray[np.void], now: Moments, periods: Periods) -> None:
    first = stays["events"] == 0
    for clock in ("started_at", "observed_at"):
        np.copyto(stays[clock], now.observed_at, where=first)
    np.maximum(stays["observed_at"], now.observed_at, out=stays["observed_at"])
    expires_at = now.stream_times + periods.expire_after
    np.copyto(stays["expires_at"], expires_at, where=stays["closed_at"] == 0)
    stays["events"] += 1
    measure(stays, now.values, now.observed_at)


def _note(stays: NDArray[np.void], now: Moments, periods: Periods) -> None:
    remember(stays, np.arange(len(stays)), np.zeros(len(stays), np.int64), now.digests)
    stays["next_offset"] = now.offsets + 1
