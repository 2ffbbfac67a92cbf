"""What a rare event means for the stay that a patient has: one that is no observation, or that comes after
the discharge, from an earlier stay, of another encounter or after a long silence. One event at a time.

        ┌─ admission of another encounter, silence ─┐
        ▼                                           │
      open ── discharge ──▶ closed ── grace ──▶ forgotten
        ▲                     │
        └────── cancel ───────┘

Everything is decided by the times at which the events happened, not by the order in which they arrive: what
happened before the stay began belongs to an earlier one, and neither ends nor describes this one, unless it
names the stay's encounter. If nothing says that there was an earlier one, what happened before the admission
is of the stay.

Only an admission begins a stay in place of an open one. An observation of another encounter does not, and
begins one in place of a closed one only if it was measured at the bed: a laboratory often numbers the visits
in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.columns.events import Code, Kind
from stream.stays.record import BEDSIDE_COLUMNS, WHEREABOUTS, Periods

KEPT = ("next_offset", "expires_at", "remembered", "recent", "recent_high", "measured_at", "vitals")
"""What is the patient's, not the stay's."""


@dataclass(frozen=True, slots=True, repr=False)
class Happening:
    """One event. at: event time; stream_time: of its partition; both ms. encounter: hash, 0 if the event does
    not name it, or is of a laboratory that names another than the stay's."""

    kind: Kind
    at: int
    stream_time: int
    encounter: int


class Ruling(NamedTuple):
    """code: why the event is refused. described: the statics of an admission count. silent: the stay before
    ended by silence."""

    code: Code | None = None
    described: bool = True
    silent: bool = False


TAKEN, EARLIER, OTHER = Ruling(), Ruling(Code.EARLIER_STAY), Ruling(Code.OTHER_ENCOUNTER)


def rule(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    """Change `stay`, a view of one `STAY`, but for what every event that has a score does to it."""
    match event.kind:
        case Kind.OBSERVATION:
            return _observation(stay, event, periods)
        case Kind.ADMISSION:
            return _admission(stay, event, periods)
        case Kind.DISCHARGE:
            return _discharge(stay, event, periods)
        case Kind.CANCELLATION:
            return _cancellation(stay, event, periods)
    return _transfer(stay, event, periods)


def _observation(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    if _is_earlier(stay, event):
        return EARLIER
    if _silent(stay, event, periods):
        if _only_admitted(stay):
            stay["started_at"] = stay["observed_at"] = event.at
            return TAKEN
        _begin(stay, event, periods, floor=int(stay["observed_at"]) + 1)
        return Ruling(silent=True)
    if stay["closed_at"] and event.at >= _end_of_grace(stay, periods):
        _begin(stay, event, periods, floor=_end_of_grace(stay, periods))
        return TAKEN
    if stay["closed_at"] and event.at > stay["closed_at"] and _differs(stay, event):
        _begin(stay, event, periods, floor=int(stay["closed_at"]) + 1)
        return TAKEN
    return TAKEN


def _admission(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    same, differs = _same(stay, event), _differs(stay, event)
    after = bool(stay["closed_at"] and event.at >= stay["closed_at"])
    first = not (stay["admitted_at"] or differs or after or _silent(stay, event, periods))
    if same or first or (event.at == stay["admitted_at"] and not differs):
        if event.at < stay["floor"] and not same:
            return EARLIER
        if stay["floor"] and not stay["admitted_at"]:
            _raise_floor(stay, min(event.at, int(stay["earliest_at"]) or event.at))
        return _described(stay, event)
    if event.at < _begun_at(stay) and not after:
        _raise_floor(stay, int(stay["admitted_at"]) or event.at + 1)
        return EARLIER
    _begin(stay, event, periods, floor=event.at)
    if event.at < stay["floor"]:
        return Ruling(described=False)
    return _described(stay, event)


def _described(stay: np.void, event: Happening) -> Ruling:
    stay["admitted_at"] = min(int(stay["admitted_at"]) or event.at, event.at)
    newest = event.at >= stay["described_at"]
    stay["described_at"] = max(int(stay["described_at"]), event.at)
    return Ruling(described=bool(newest))


def _discharge(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    if event.at < _begun_at(stay) and not _same(stay, event):
        _raise_floor(stay, int(stay["admitted_at"]) or event.at + 1)
        return EARLIER
    if _differs(stay, event):
        stay["left"], stay["left_at"] = event.encounter, event.at
        return OTHER
    if event.at > stay["cancelled_at"]:
        if event.at >= stay["closed_at"]:
            stay["closed_at"], stay["closed_of"] = event.at, event.encounter
        stay["expires_at"] = event.stream_time + periods.discharge_grace
        _leave_behind(stay, event, periods)
    return TAKEN


def _leave_behind(stay: np.void, event: Happening, periods: Periods) -> None:
    """Whoever was measured at the bed after the grace is here: what is known since is of a stay without a
    name, and goes on."""
    floor = _end_of_grace(stay, periods)
    if stay["measured_at"][BEDSIDE_COLUMNS].max() < floor:
        return
    for name in ("encounter", "named", "admitted_at", "described_at", "closed_at", "closed_of"):
        stay[name] = 0
    for name in WHEREABOUTS:
        if stay[f"{name}_at"] < floor:
            stay[name] = stay[f"{name}_at"] = 0
    stay["earliest_at"] = max(int(stay["earliest_at"]), floor)
    stay["expires_at"] = event.stream_time + periods.expire_after
    _raise_floor(stay, floor)


def _cancellation(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    known = stay["admitted_at"] or event.at < stay["floor"] or _differs(stay, event)
    if known and event.at < _begun_at(stay) and not _same(stay, event):
        return EARLIER  # Without an admission the stay may have begun sooner than is known.
    if _differs(stay, event):
        if stay["left"] == event.encounter and event.at >= stay["left_at"]:
            stay["left"] = stay["left_at"] = 0
        return OTHER
    stay["cancelled_at"] = max(int(stay["cancelled_at"]), event.at)
    if stay["closed_at"] <= event.at:
        stay["closed_at"], stay["closed_of"] = 0, event.encounter
        stay["expires_at"] = event.stream_time + periods.expire_after
    return TAKEN


def _transfer(stay: np.void, event: Happening, periods: Periods) -> Ruling:
    if _is_earlier(stay, event):
        return EARLIER
    if _differs(stay, event):
        return OTHER
    if not stay["closed_at"]:
        stay["expires_at"] = event.stream_time + periods.expire_after
    return TAKEN


def _is_earlier(stay: np.void, event: Happening) -> bool:
    if _same(stay, event):
        return False
    return bool(event.at < stay["floor"] or (_differs(stay, event) and event.at < _begun_at(stay)))


def _same(stay: np.void, event: Happening) -> bool:
    """It names the stay's encounter."""
    return bool(event.encounter and stay["named"] and event.encounter == stay["encounter"])


def _differs(stay: np.void, event: Happening) -> bool:
    """The event names another encounter than the stay's, and both are known."""
    return bool(event.encounter and stay["named"] and event.encounter != stay["encounter"])


def _silent(stay: np.void, event: Happening, periods: Periods) -> bool:
    """By the patient's own event time: the partition's may have been ahead."""
    silence = event.at - int(stay["observed_at"])
    return bool(stay["events"] and not stay["closed_at"] and silence > periods.expire_after)


def _end_of_grace(stay: np.void, periods: Periods) -> int:
    """The first moment that is no longer of a closed stay."""
    return int(stay["closed_at"]) + periods.discharge_grace + 1


def _only_admitted(stay: np.void) -> bool:
    """Nothing is known but an admission: long before the first values its date is wrong."""
    return not stay["measured_at"].any() and bool(stay["observed_at"] == stay["described_at"])


def _begun_at(stay: np.void) -> int:
    return max(int(stay["admitted_at"]) or int(stay["earliest_at"]), int(stay["floor"]))


def _begin(stay: np.void, event: Happening, periods: Periods, floor: int) -> None:
    """The next stay takes the place of this one. What is known to have happened after it began, remains."""
    kept = {name: np.copy(stay[name]) for name in KEPT}
    for name in WHEREABOUTS:
        if stay[f"{name}_at"] >= floor:
            kept |= {column: np.copy(stay[column]) for column in (name, f"{name}_at")}
    if event.encounter == 0 or stay["closed_of"] in (0, event.encounter):
        for name in ("closed_at", "cancelled_at"):
            kept[name] = np.where(stay[name] > event.at, stay[name], 0)
    elif stay["closed_at"] > event.at:
        kept |= {"left": np.copy(stay["closed_of"]), "left_at": np.copy(stay["closed_at"])}
    if event.encounter and stay["left"] == event.encounter and stay["left_at"] >= event.at:
        kept |= {"closed_at": np.copy(stay["left_at"]), "closed_of": np.copy(stay["left"])}
        kept["expires_at"] = np.array(event.stream_time + periods.discharge_grace)
    for name in stay.dtype.names or ():
        stay[name] = kept.get(name, np.zeros_like(stay[name]))
    stay["encounter"], stay["named"] = event.encounter, event.encounter > 0
    _raise_floor(stay, floor)
    if stay["closed_at"]:
        _leave_behind(stay, event, periods)


def _raise_floor(stay: np.void, floor: int) -> None:
    """What was observed before is of an earlier stay: its vital signs are none of this one."""
    stay["floor"] = max(int(stay["floor"]), floor)
    before = stay["measured_at"] < stay["floor"]
    stay["measured_at"][before] = 0
    stay["vitals"][before] = 0
