"""What a log of events means, in plain Python, event by event: what the state is held against."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stream.records import Code, Kind
from stream.state.stays import REMEMBERED, VITALS
from tests.events import EXPIRE_AFTER_MS, GRACE_MS, MAX_PAST_MS, Event


@dataclass
class Patient:
    """What is known. Times in ms, 0 for never."""

    started: int = 0
    latest: int = 0
    expires: int = 0
    events: int = 0
    admitted: int = 0
    described: int = 0
    closed: int = 0
    closed_of: str = ""
    cancelled: int = 0
    floor: int = 0
    encounter: str = ""
    unit: str = ""
    bed: str = ""
    placed: int = 0
    left: tuple[str, int] = ("", 0)
    recent: list[str] = field(default_factory=list)
    vitals: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def begun(self) -> int:
        return max(self.admitted or self.started, self.floor)

    def raise_floor(self, at: int) -> None:
        self.floor = max(self.floor, at)
        self.vitals = {name: known for name, known in self.vitals.items() if known[0] >= self.floor}

    def next_stay(self, event: Event, floor: int, stream_time: int) -> Patient:
        following = Patient(
            expires=self.expires,
            encounter=event.encounter,
            recent=self.recent,
            vitals=self.vitals,
        )
        if not (self.closed_of and event.encounter and self.closed_of != event.encounter):
            following.closed = self.closed if self.closed > event.at else 0
            following.cancelled = self.cancelled if self.cancelled > event.at else 0
        elif self.closed > event.at:
            following.left = self.closed_of, self.closed
        if event.encounter and event.encounter == self.left[0] and self.left[1] >= event.at:
            following.closed_of, following.closed = self.left
            following.expires = stream_time + GRACE_MS
        if self.placed >= floor:
            following.placed, following.unit, following.bed = self.placed, self.unit, self.bed
        following.raise_floor(floor)
        return following


@dataclass
class Said:
    """Of one event. again: nothing was known before. elapsed, hours in h, as the model sees them."""

    code: Code | None = None
    again: bool = False
    described: bool = True
    elapsed: float = 0.0
    hours: float = 0.0
    late: bool = False
    count: int = 0
    closed: bool = False
    vitals: dict[str, tuple[int, float]] = field(default_factory=dict)


class Truth:
    """The patients of one partition."""

    def __init__(self) -> None:
        self.patients: dict[str, Patient] = {}
        self.stream_time = 0

    def take(self, event: Event, digest: str) -> Said:
        self.stream_time = max(self.stream_time, event.at)
        if event.at < self.stream_time - MAX_PAST_MS:
            return Said(Code.PAST)
        patient = self.patients.get(event.patient, Patient())
        if patient.expires and patient.expires < self.stream_time:
            patient = Patient()
        if digest in patient.recent:
            return Said(Code.DUPLICATE)
        patient, code, described = self._decided(patient, event)
        self.patients[event.patient] = patient
        said = Said(code, described=described)
        if code is None:
            self._placed(patient, event)
            if event.kind in (Kind.OBSERVATION, Kind.ADMISSION):
                self._scored(patient, event, said)
        patient.recent = [*patient.recent, digest][-REMEMBERED:]
        return said

    def _decided(self, one: Patient, event: Event) -> tuple[Patient, Code | None, bool]:
        at, kind = event.at, event.kind
        differs = bool(event.encounter and one.encounter and event.encounter != one.encounter)
        silent = bool(one.events and not one.closed and at - one.latest > EXPIRE_AFTER_MS)
        evidence = one.admitted or at + 1
        same = bool(event.encounter and event.encounter == one.encounter)
        if kind == Kind.OBSERVATION:
            if not same and (at < one.floor or (differs and at < one.begun)):
                return one, Code.EARLIER_STAY, True
            if silent and not one.vitals and one.latest == one.described:
                one.started = one.latest = at
                return one, None, True
            if silent:
                return one.next_stay(event, one.latest + 1, self.stream_time), None, True
            if one.closed and at > one.closed and differs:
                return one.next_stay(event, one.closed + 1, self.stream_time), None, True
            return one, None, True
        if kind == Kind.ADMISSION:
            return self._admitted(one, event, differs, silent, evidence)
        if kind == Kind.TRANSFER:
            if not same and (at < one.floor or (differs and at < one.begun)):
                return one, Code.EARLIER_STAY, True
            if differs:
                return one, Code.OTHER_ENCOUNTER, True
            if not one.closed:
                one.expires = self.stream_time + EXPIRE_AFTER_MS
            return one, None, True
        if at < one.begun and not same:
            if kind == Kind.DISCHARGE:
                one.raise_floor(evidence)
            return one, Code.EARLIER_STAY, True
        if differs:
            one.left = (event.encounter, at) if kind == Kind.DISCHARGE else one.left
            return one, Code.OTHER_ENCOUNTER, True
        if kind == Kind.DISCHARGE and at > one.cancelled:
            one.closed, one.expires = max(one.closed, at), self.stream_time + GRACE_MS
            one.closed_of = event.encounter
        if kind == Kind.CANCELLATION:
            one.cancelled = max(one.cancelled, at)
            one.closed_of = event.encounter
            if one.closed <= at:
                one.closed, one.expires = 0, self.stream_time + EXPIRE_AFTER_MS
        return one, None, True

    def _admitted(
        self, one: Patient, event: Event, differs: bool, silent: bool, evidence: int
    ) -> tuple[Patient, Code | None, bool]:
        at = event.at
        same = bool(one.encounter and one.encounter == event.encounter)
        after = bool(one.closed and at >= one.closed)
        first = not (one.admitted or differs or after or silent)
        if same or first or (at == one.admitted and not differs):
            if at < one.floor and not same:
                return one, Code.EARLIER_STAY, True
            if one.floor and not one.admitted:
                one.raise_floor(at)
        elif at < one.begun and not after:
            one.raise_floor(evidence)
            return one, Code.EARLIER_STAY, True
        else:
            one = one.next_stay(event, at, self.stream_time)
        described = at >= one.described
        one.admitted, one.described = min(one.admitted or at, at), max(one.described, at)
        return one, None, described

    def _placed(self, one: Patient, event: Event) -> None:
        one.encounter = one.encounter or event.encounter
        if event.at >= one.placed and (event.unit or event.bed):
            one.bed = event.bed or (one.bed if event.unit in ("", one.unit) else "")
            one.unit, one.placed = event.unit or one.unit, event.at
        one.expires = one.expires or self.stream_time + EXPIRE_AFTER_MS

    def _scored(self, one: Patient, event: Event, said: Said) -> None:
        said.again = not one.events
        if said.again:
            one.started = one.latest = event.at
        said.late = event.at < one.latest
        said.elapsed = max(event.at - one.latest, 0) / 3_600_000
        one.latest = max(one.latest, event.at)
        said.hours = (one.latest - one.started) / 3_600_000
        one.events += 1
        for name, value in event.values.items():
            if name in VITALS and event.at >= one.vitals.get(name, (0, 0.0))[0]:
                one.vitals[name] = (event.at, float(np.float32(value)))
        if not one.closed:
            one.expires = self.stream_time + EXPIRE_AFTER_MS
        said.count, said.closed, said.vitals = one.events, bool(one.closed), dict(one.vitals)
