"""Carries patients of whom nothing rare is heard through all of a micro-batch at once: their stay is open, or
begins, and each event is an observation, later than the one before. It does what `stream.stays.walk` does
wave by wave, but sooner: most events are such. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Kind
from stream.stays.moments import Lanes, Moments, Trace
from stream.stays.record import PLACE, WHEREABOUTS, Periods, expired, remember


def steady(stays: NDArray[np.void], lanes: Lanes, now: Moments, periods: Periods) -> NDArray[np.bool_]:
    """bool [G]: patients whom `carry_at_once` can carry. It may leave out some whom it could."""
    first, at = slice(len(stays)), now.observed_at
    new = stays["expires_at"] == 0
    ahead = at - lanes.previous(np.where(new, at[first], stays["observed_at"]), at)
    rare = (now.kinds != Kind.OBSERVATION) | (ahead < 0) | (ahead > periods.expire_after)
    passed = now.stream_times - lanes.previous(now.stream_times[first], now.stream_times)
    rare |= (passed > periods.expire_after) | _again(stays, lanes, now.digests)
    if now.places.any():
        here = np.stack([stays[name] for name in PLACE], axis=1)[lanes.rows]
        rare |= ((now.places != here) & (now.places > 0)).any(axis=1)
        rare |= (now.places[:, 0] > 0) & ~stays["named"][lanes.rows]
    odd = np.bincount(lanes.rows[rare], minlength=len(stays)) > 0
    odd |= (stays["closed_at"] > 0) | expired(stays, now.stream_times[first])
    ahead_of_clock = stays["measured_at"] > stays["observed_at"][:, None]
    if ahead_of_clock.any():
        odd |= ahead_of_clock.any(axis=1)
    return ~odd


def _again(stays: NDArray[np.void], lanes: Lanes, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """bool [N]: what may be a repeat, of a remembered event or of one in the same micro-batch."""
    again = np.zeros(len(digests), np.bool_)
    first, low = len(stays), digests.astype(np.uint32)[:, None]
    for part, recent in (
        (slice(first), stays["recent"]),
        (slice(first, None), stays["recent"][lanes.rows[first:]]),
    ):
        known = recent == low[part]
        if known.any():
            again[part] = known.any(axis=1)
    ordered = np.sort(digests)
    if len(same := ordered[1:][ordered[1:] == ordered[:-1]]):
        again |= np.isin(digests, same)
    return again


def carry_at_once(stays: NDArray[np.void], lanes: Lanes, now: Moments, out: Trace, periods: Periods) -> None:
    """Carry steady patients' stays, `STAY` [G], through their events; they are changed in place."""
    rows, at = lanes.rows, now.observed_at
    np.copyto(stays["started_at"], at[: len(stays)], where=stays["events"] == 0)
    np.subtract(at, lanes.previous(stays["observed_at"], at), out=out.ahead)
    out.started_at[:], out.observed_at[:] = stays["started_at"][rows], at
    out.events[:] = stays["events"][rows] + lanes.waves + 1
    for column, name in enumerate(PLACE):
        out.places[:, column] = stays[name][rows]
    _measure(stays, lanes, now, out)
    last = np.empty(len(stays), np.int64)
    last[rows] = np.arange(len(at))
    for name in ("observed_at", "events", "vitals", "measured_at"):
        stays[name] = getattr(out, name)[last]
    stays["expires_at"] = now.stream_times[last] + periods.expire_after
    stays["next_offset"] = now.offsets[last] + 1
    remember(stays, rows, lanes.waves, now.digests)
    if not stays["earliest_at"].all():
        first = np.zeros(len(stays), np.int64)
        sure = np.flatnonzero(now.sure)[::-1]
        first[rows[sure]] = at[sure]
        np.copyto(stays["earliest_at"], first, where=stays["earliest_at"] == 0)
    if now.places.any():
        for column, name in enumerate(WHEREABOUTS, 1):
            named, latest = now.places[:, column] > 0, np.zeros(len(stays), np.int64)
            latest[rows[named]] = at[named]
            np.maximum(stays[f"{name}_at"], latest, out=stays[f"{name}_at"])


def _measure(stays: NDArray[np.void], lanes: Lanes, now: Moments, out: Trace) -> None:
    """What an event did not measure is what the one before it left."""
    missing = np.isnan(now.values)
    known, known_at, start = stays["vitals"], stays["measured_at"], 0
    for size in lanes.sizes.tolist():
        wave = slice(start, start + size)
        out.vitals[wave] = np.where(missing[wave], known[:size], now.values[wave])
        out.measured_at[wave] = np.where(missing[wave], known_at[:size], now.observed_at[wave, None])
        known, known_at, start = out.vitals[wave], out.measured_at[wave], start + size
