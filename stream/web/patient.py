"""What is known of one patient, whatever the order in which scores and events were read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from model.variables import INDEX, VARIABLES, VITAL_SIGNS
from stream.web.messages import Event, Score
from stream.web.trend import Trend

DIASTOLIC = "diastolic_pressure"
MEASURED_BY = {sign.name: sign.variables for sign in VITAL_SIGNS} | {DIASTOLIC: ("DiasABP", "NIDiasABP")}
"""Sign that the board shows → the variables that measure it, the better one first."""
SHOWN = {variable: sign for sign, variables in MEASURED_BY.items() for variable in variables}

Place = tuple[int, int]
"""Partition and offset in the input."""
NOWHERE: Place = (-1, -1)
MOST_LATE = 32
"""Late scores of one patient of which place and time are kept."""
Reading = tuple[int, int, int, float]
"""When it was measured, how good the variable is, the offset; and the value. The greatest counts: the newest,
of equally new ones the best, of equally good ones the one said last."""


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


@dataclass(frozen=True, slots=True, repr=False)
class _Notice:
    """A discharge, or that it was none."""

    at_ms: int
    place: Place
    encounter_id: str | None


class Patient:
    """Gathers, of everything, what is latest; what of it still holds is decided when it is shown. So the
    order in which the two topics are read makes no difference: that a score is of an event before a
    discharge, its place in the log tells, not its arrival.
    """

    __slots__ = (
        "_admitted_at",
        "_before_ms",
        "_discharge",
        "_open",
        "_patient_id",
        "_reopening",
        "_score",
        "_scored",
        "_signs",
        "_trend",
        "_where",
        "seen_at",
    )

    def __init__(self, patient_id: str, bucket_ms: int) -> None:
        self.seen_at = 0
        self._patient_id = patient_id
        self._trend = Trend(bucket_ms)
        self._signs: dict[str, Reading] = {}
        self._where: dict[str, tuple[int, int, str]] = {}
        self._score: Score | None = None
        self._open = True
        # Place and time of open scores in log order, each later in time than all that follow.
        self._scored: deque[tuple[Place, int]] = deque(maxlen=MOST_LATE)
        self._before_ms = self._admitted_at = 0
        self._discharge: _Notice | None = None
        self._reopening: _Notice | None = None

    def scored(self, score: Score) -> None:
        """Take a score. One of a stay that is discharged says only that it is."""
        self.seen_at = max(self.seen_at, score.observed_at)
        if score.state.closed:
            self._open = self._open and self._score is not None and _differ(score, self._score)
            return
        if self._score and _differ(score, self._score):
            self._before_ms = self._scored[0][1]
            self._scored.clear()
        self._open, self._score = True, score
        while self._scored and self._scored[-1][1] <= score.observed_at:
            self._scored.pop()
        self._scored.append((_place(score), score.observed_at))
        self._trend.add(score.observed_at, score.risk)
        self._locate(score, _place(score)[1])

    def told(self, event: Event, place: Place) -> None:
        """Take an event."""
        if event.type == "discharge":
            self._leave(event, place)
            return
        self.seen_at = max(self.seen_at, event.observed_at)
        if event.type == "admission":
            self._admitted_at = max(self._admitted_at, event.observed_at)
        self._locate(event, place[1])
        for sign, rank, value in _plausible(event.values):
            reading = event.observed_at, rank, place[1], value
            self._signs[sign] = max(self._signs.get(sign, reading), reading)

    def forgive(self, latest_ms: int) -> None:
        """Forget a discharge later than that if a score after it shows that the worker refused it."""
        left = self._discharge
        if left and left.at_ms > latest_ms and self._open and self._scored_after(left):
            self._discharge = None

    @property
    def last_at(self) -> int:
        """When the last happened that is known, the discharge included, ms."""
        return max(self.seen_at, self._discharge.at_ms if self._discharge else 0)

    @property
    def present(self) -> bool:
        """Whether the patient lies here: not discharged, or in a later stay, which a score must show."""
        end = self._end()
        if end is None or not self._open:
            return self._open
        return self._score is not None and self._outlives(end, self._score)

    def bed(self, since_ms: int) -> Bed:
        """What holds of this stay, without what is older than that."""
        end = self._end()
        since = max(since_ms, self._before_ms, end.at_ms if end else 0)
        signs = {sign: reading for sign, reading in self._signs.items() if reading[0] > since}
        where = {name: said for name, (at, _, said) in self._where.items() if at > since}
        bed = Bed(
            self._patient_id,
            self._trend.since(since),
            self.seen_at,
            unit=where.get("unit"),
            bed=where.get("bed"),
            vitals={sign: reading[3] for sign, reading in signs.items()},
            measured_at={sign: reading[0] for sign, reading in signs.items()},
        )
        if score := self._score:
            bed.encounter_id = score.encounter_id
            bed.risk, bed.news2, bed.complete = score.risk, score.news2.score, score.news2.complete
            bed.events, bed.warm, bed.late = score.state.events, score.state.warm, score.state.late
            bed.stale = tuple(score.state.stale)
        return bed

    def _leave(self, event: Event, place: Place) -> None:
        notice = _Notice(event.observed_at, place, event.encounter_id)
        if event.cancel:
            self._reopening = notice
        elif not self._discharge or self._cancelled() or notice.at_ms >= self._discharge.at_ms:
            self._discharge = notice

    def _cancelled(self) -> bool:
        left, again = self._discharge, self._reopening
        return bool(left and again and again.place > left.place and not _differ(left, again))

    def _end(self) -> _Notice | None:
        """Of the stay before. One that was cancelled has no time: the stay goes on, once a score says so."""
        if self._reopening and self._cancelled():
            return _Notice(0, self._reopening.place, self._reopening.encounter_id)
        return self._discharge

    def _outlives(self, end: _Notice, score: Score) -> bool:
        """Whether the scored stay is another than the one that ended so, or goes on."""
        if _differ(end, score):
            return True
        if 0 < end.at_ms < self._admitted_at <= self._scored[0][1]:
            return True
        return self._scored_after(end) > end.at_ms

    def _scored_after(self, notice: _Notice) -> int:
        """When the latest event happened that was scored behind it in the log, or that cannot be told, ms; 0
        where there is none."""
        partition = notice.place[0]
        after = (at for place, at in self._scored if place[0] != partition or place >= notice.place)
        return next(after, 0)

    def _locate(self, said: Event | Score, offset: int) -> None:
        for name, value in (("unit", said.unit), ("bed", said.bed)):
            if value:
                found = said.observed_at, offset, value
                self._where[name] = max(self._where.get(name, found), found)


def _place(score: Score) -> Place:
    return (score.source.partition, score.source.offset) if score.source else NOWHERE


def _differ(one: _Notice | Score, other: _Notice | Score) -> bool:
    """Whether they are known to be of two encounters."""
    return None not in (one.encounter_id, other.encounter_id) and one.encounter_id != other.encounter_id


def _plausible(values: dict[str, float]) -> Iterator[tuple[str, int, float]]:
    """Sign, how good the variable is, value."""
    for name, value in values.items():
        if name in SHOWN and VARIABLES[INDEX[name]].low <= value <= VARIABLES[INDEX[name]].high:
            sign = SHOWN[name]
            yield sign, -MEASURED_BY[sign].index(name), value
