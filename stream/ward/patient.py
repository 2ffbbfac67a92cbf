"""What is known of one patient, whatever the order in which scores, events and dead letters were read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from model.variables import INDEX, VARIABLES, VITAL_SIGNS
from stream.columns.records import Place
from stream.contracts.readers import Event, Score
from stream.stays.record import BEDSIDE
from stream.ward.latest import Latest, Notice, Reading, Saying, Sighting
from stream.ward.stay import Stay, WardProgress
from stream.ward.trend import Trend

DIASTOLIC = "diastolic_pressure"
MEASURED_BY = {sign.name: sign.variables for sign in VITAL_SIGNS} | {DIASTOLIC: ("DiasABP", "NIDiasABP")}
"""Sign that the board shows → the variables that measure it, the better one first."""
SHOWN = {variable: sign for sign, variables in MEASURED_BY.items() for variable in variables}

AT_THE_BED = {SHOWN[variable] for variable in BEDSIDE}
"""Signs that show the patient here."""

MOST_READINGS, MOST_SAYINGS = 4, 16
"""How many are kept: readings of each sign; whereabouts, discharges and times of events."""


@dataclass(slots=True, repr=False)
class Bed:
    """What is shown of one patient. `risk` and `news2` are None until the first score.

    seen_at: when the last event happened, ms. events: of the stay, scored. stale: vital signs not measured
    for longer than is safe, or never. vitals: sign → last plausible value; measured_at: sign → when, ms.
    """

    patient_id: str
    trend: Trend
    seen_at: int = 0
    encounter_id: str | None = None
    unit: str | None = None
    bed: str | None = None
    risk: float | None = None
    news2: int | None = None
    complete: bool = False
    warm: bool = False
    late: bool = False
    events: int = 0
    stale: tuple[str, ...] = ()
    vitals: dict[str, float] = field(default_factory=dict)
    measured_at: dict[str, int] = field(default_factory=dict)


class Patient:
    """The stay as the scores report it, and the last few facts from events. Which of them hold is
    decided when it is shown. So the order in which the topics are read makes no difference, and what a
    refused event reported can be taken back.
    """

    __slots__ = ("_notices", "_patient_id", "_sayings", "_sightings", "_signs", "_stay")

    def __init__(self, patient_id: str, bucket_ms: int) -> None:
        self._patient_id = patient_id
        self._stay = Stay(bucket_ms)
        self._sightings: Latest[Sighting] = Latest(MOST_SAYINGS)
        self._sayings: Latest[Saying] = Latest(MOST_SAYINGS)
        self._notices: Latest[Notice] = Latest(MOST_SAYINGS)
        self._signs: defaultdict[str, Latest[Reading]] = defaultdict(_few)

    def scored(self, score: Score, since_ms: int) -> None:
        """Take a score; not one of an earlier encounter that is over. since_ms: as in `forget`."""
        self.forget(since_ms)
        following = self._stay.ends_with(score)
        if score.state.closed and score.state.events > 1 and following:
            return
        self._stay = self._stay.next(score) if following else self._stay
        self._stay.scored(score)

    def reported(self, event: Event, place: Place) -> None:
        """Take an event."""
        at, (partition, offset) = event.observed_at, place
        if event.type == "discharge":
            self._notices.add(Notice(offset, partition, at, event.cancel, event.encounter_id or ""))
            return
        self._sightings.add(Sighting(at, offset, partition))
        if event.unit or event.bed:
            self._sayings.add(Saying(at, offset, partition, event.unit or "", event.bed or ""))
        for sign, rank, value in _plausible(event.values):
            self._signs[sign].add(Reading(at, rank, offset, partition, value))

    def refused(self, place: Place) -> None:
        """Take back what the event at this place reported."""
        every: list[Latest[Any]] = [self._sightings, self._sayings, self._notices, *self._signs.values()]
        for facts in every:
            facts.take_back(place)

    def forget(self, since_ms: int) -> None:
        """Forget the stay if nothing was scored since."""
        if self._stay.score and self._stay.scored_at < since_ms:
            self._stay = Stay(self._stay.trend.bucket_ms)

    @property
    def seen_at(self) -> int:
        """When the last known event other than a discharge happened, ms."""
        return max(self._stay.scored_at, *(seen.at for seen in self._sightings), 0)

    @property
    def last_at(self) -> int:
        """Likewise, discharges included."""
        return max(self.seen_at, *(notice.at for notice in self._notices), 0)

    def present(self, progress: WardProgress) -> bool:
        """Whether the patient lies here, by what happened since: not discharged, or in a later stay, which a
        score must show."""
        recent = (notice for notice in self._notices if notice.at >= progress.since_ms)
        measured_at = max((fact.at for sign in AT_THE_BED for fact in self._signs.get(sign, ())), default=0)
        return self.seen_at >= progress.since_ms and not self._stay.is_closed(recent, progress, measured_at)

    def bed(self, since_ms: int) -> Bed:
        """What holds of this stay, without older facts."""
        readings = {sign: self._last(facts, since_ms) for sign, facts in sorted(self._signs.items())}
        known = {sign: reading for sign, reading in readings.items() if reading}
        where = self._stay.whereabouts(fact for fact in self._sayings if fact.at >= since_ms)
        bed = Bed(
            self._patient_id,
            self._stay.trend.since(since_ms),
            self.seen_at,
            unit=where.unit or None,
            bed=where.bed or None,
            vitals={sign: reading.value for sign, reading in known.items()},
            measured_at={sign: reading.at for sign, reading in known.items()},
        )
        if score := self._stay.score:
            bed.encounter_id = score.encounter_id
            bed.risk, bed.news2, bed.complete = score.risk, score.news2.score, score.news2.complete
            bed.events, bed.warm, bed.late = score.state.events, score.state.warm, score.state.late
            bed.stale = tuple(score.state.stale)
        return bed

    def _last(self, readings: Latest[Reading], since_ms: int) -> Reading | None:
        return max((fact for fact in readings if fact.at >= since_ms and self._stay.has(fact)), default=None)


def _few() -> Latest[Reading]:
    return Latest(MOST_READINGS)


def _plausible(values: dict[str, float]) -> Iterator[tuple[str, int, float]]:
    """Sign, how good the variable is, value; 0 has no sign."""
    for name, value in values.items():
        if name in SHOWN and VARIABLES[INDEX[name]].low <= value <= VARIABLES[INDEX[name]].high:
            sign = SHOWN[name]
            yield sign, -MEASURED_BY[sign].index(name), value or 0
