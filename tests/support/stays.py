"""What a log of events means, in plain Python, event by event: what the state is held against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from stream.columns.events import Code, Kind
from stream.stays.record import REMEMBERED, VITALS
from tests.support.events import EXPIRE_AFTER_MS, GRACE_MS, MAX_PAST_MS, Event

BEDSIDE = {"HR", "SysABP", "NISysABP", "RespRate", "GCS"}


@dataclass
class Patient:
    """What is known. Times in ms, 0 for never."""

    started: int = 0
    earliest: int = 0
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
    named: bool = False
    unit_at: int = 0
    bed_at: int = 0
    left: tuple[str, int] = ("", 0)
    recent: list[str] = field(default_factory=list)
    vitals: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def begun(self) -> int:
        return max(self.admitted or self.earliest, self.floor)

    def raise_floor(self, at: int) -> None:
        self.floor = max(self.floor, at)
        self.vitals = {name: known for name, known in self.vitals.items() if known[0] >= self.floor}

    @property
    def measured(self) -> int:
        """When anything was measured at the bed."""
        return max((at for name, (at, _) in self.vitals.items() if name in BEDSIDE), default=0)

    def leave_behind(self, stream_time: int) -> None:
        """If the patient was measured after the grace."""
        floor = self.closed + GRACE_MS + 1
        if self.measured < floor:
            return
        self.encounter, self.named, self.closed_of = "", False, ""
        self.admitted = self.described = self.closed = 0
        if self.unit_at < floor:
            self.unit, self.unit_at = "", 0
        if self.bed_at < floor:
            self.bed, self.bed_at = "", 0
        self.earliest = max(self.earliest, floor)
        self.expires = stream_time + EXPIRE_AFTER_MS
        self.raise_floor(floor)

    def next_stay(self, event: Event, floor: int, stream_time: int) -> Patient:
        following = Patient(
            expires=self.expires,
            encounter=event.encounter,
            named=bool(event.encounter),
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
        if self.unit_at >= floor:
            following.unit, following.unit_at = self.unit, self.unit_at
        if self.bed_at >= floor:
            following.bed, following.bed_at = self.bed, self.bed_at
        following.raise_floor(floor)
        if following.closed:
            following.leave_behind(stream_time)
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
        sure = event.kind != Kind.OBSERVATION or bool(event.values.keys() & BEDSIDE)
        known = sure or (patient.named and event.encounter == patient.encounter)
        ruled = event if known else replace(event, encounter="")
        patient, code, described = self._decided(patient, ruled)
        self.patients[event.patient] = patient
        said = Said(code, described=described)
        if code is None:
            same = patient.named and event.encounter == patient.encounter
            other = patient.named and event.encounter not in ("", patient.encounter)
            if sure and not other and event.kind not in (Kind.DISCHARGE, Kind.CANCELLATION):
                patient.earliest = min(patient.earliest or event.at, event.at)
            if event.at >= patient.floor or same:
                self._placed(patient, event, sure)
            patient.expires = patient.expires or self.stream_time + EXPIRE_AFTER_MS
            if event.kind in (Kind.OBSERVATION, Kind.ADMISSION):
                self._scored(patient, event, said)
        patient.recent = [*patient.recent, digest][-REMEMBERED:]
        return said

    def _decided(self, one: Patient, event: Event) -> tuple[Patient, Code | None, bool]:
        at, kind = event.at, event.kind
        differs = bool(event.encounter and one.named and event.encounter != one.encounter)
        silent = bool(one.events and not one.closed and at - one.latest > EXPIRE_AFTER_MS)
        evidence = one.admitted or at + 1
        same = bool(event.encounter and one.named and event.encounter == one.encounter)
        if kind == Kind.OBSERVATION:
            if not same and (at < one.floor or (differs and at < one.begun)):
                return one, Code.EARLIER_STAY, True
            if silent and not one.vitals and one.latest == one.described:
                one.started = one.latest = at
                return one, None, True
            if silent:
                return one.next_stay(event, one.latest + 1, self.stream_time), None, True
            if one.closed and at > one.closed + GRACE_MS:
                return one.next_stay(event, one.closed + GRACE_MS + 1, self.stream_time), None, True
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
        unsure = kind == Kind.CANCELLATION and not (one.admitted or at < one.floor or differs)
        if at < one.begun and not same and not unsure:
            if kind == Kind.DISCHARGE:
                one.raise_floor(evidence)
            return one, Code.EARLIER_STAY, True
        if differs:
            encounter, left = one.left
            if kind == Kind.DISCHARGE:
                one.left = event.encounter, at
            elif encounter == event.encounter and at >= left:
                one.left = "", 0
            return one, Code.OTHER_ENCOUNTER, True
        if kind == Kind.DISCHARGE and at > one.cancelled:
            if at >= one.closed:
                one.closed, one.closed_of = at, event.encounter
            one.expires = self.stream_time + GRACE_MS
            one.leave_behind(self.stream_time)
        if kind == Kind.CANCELLATION:
            one.cancelled = max(one.cancelled, at)
            if one.closed <= at:
                one.closed, one.closed_of = 0, event.encounter
                one.expires = self.stream_time + EXPIRE_AFTER_MS
        return one, None, True

    def _admitted(
        self, one: Patient, event: Event, differs: bool, silent: bool, evidence: int
    ) -> tuple[Patient, Code | None, bool]:
        at = event.at
        same = bool(one.encounter and one.named and one.encounter == event.encounter)
        after = bool(one.closed and at >= one.closed)
        first = not (one.admitted or differs or after or silent)
        if same or first or (at == one.admitted and not differs):
            if at < one.floor and not same:
                return one, Code.EARLIER_STAY, True
            if one.floor and not one.admitted:
                one.raise_floor(min(at, one.earliest or at))
        elif at < one.begun and not after:
            one.raise_floor(evidence)
            return one, Code.EARLIER_STAY, True
        else:
            one = one.next_stay(event, at, self.stream_time)
            if at < one.floor:
                return one, None, False
        described = at >= one.described
        one.admitted, one.described = min(one.admitted or at, at), max(one.described, at)
        return one, None, described

    def _placed(self, one: Patient, event: Event, sure: bool) -> None:
        if event.encounter and not one.named and (sure or not one.encounter):
            one.encounter, one.named = event.encounter, sure
        if event.unit and event.at >= one.unit_at:
            if event.unit != one.unit and event.at > one.bed_at:
                one.bed, one.bed_at = "", event.at
            one.unit, one.unit_at = event.unit, event.at
        if event.bed and event.at >= one.bed_at:
            one.bed, one.bed_at = event.bed, event.at

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
