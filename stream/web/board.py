"""The ward's board: the last that is known of each patient, fed from the streams. No clock, no screen."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from model.variables import INDEX, VARIABLES, VITAL_SIGNS
from stream.records import Records

DIASTOLIC = "diastolic_pressure"
SHOWN = {variable: sign.name for sign in VITAL_SIGNS for variable in sign.variables} | {
    "DiasABP": DIASTOLIC,
    "NIDiasABP": DIASTOLIC,
}
"""Variable → the sign under which the board shows it."""

BUCKETS = 12
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class _Model(msgspec.Struct):
    name: str


class _State(msgspec.Struct):
    __repr__ = object.__repr__

    events: int
    warm: bool
    late: bool
    stale: list[str]


class _News2(msgspec.Struct):
    __repr__ = object.__repr__

    score: int
    complete: bool


class _Score(msgspec.Struct):
    """What the board needs of a RiskScore."""

    __repr__ = object.__repr__

    observed_at: int
    risk: float
    target: str
    model: _Model
    state: _State
    news2: _News2


class _Event(msgspec.Struct):
    """What the board needs of a PatientEvent."""

    __repr__ = object.__repr__

    patient_id: str
    observed_at: int
    type: str = "observation"
    values: dict[str, float] = {}


_read_score = msgspec.json.Decoder(_Score).decode
_read_event = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True, repr=False)
class Trend:
    """The last risk of each of up to `BUCKETS` stretches of event time, `bucket_ms` long."""

    bucket_ms: int
    _points: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=BUCKETS))

    def add(self, at_ms: int, risk: float) -> None:
        """What is older than the last point is left out."""
        bucket = at_ms // self.bucket_ms
        if self._points and bucket < self._points[-1][0]:
            return
        if self._points and bucket == self._points[-1][0]:
            self._points.pop()
        self._points.append((bucket, risk))

    def levels(self) -> list[float]:
        """One risk for each stretch, oldest first; a stretch without a score has that of the one before."""
        if not self._points:
            return []
        begin = self._points[-1][0] - BUCKETS + 1
        levels: dict[int, float] = {}
        for bucket, risk in self._points:
            levels |= dict.fromkeys(range(max(bucket, begin), begin + BUCKETS), risk)
        return [levels[bucket] for bucket in sorted(levels)]

    def change(self) -> float:
        """The last risk less the first of those shown; 0 where there is only one."""
        levels = self.levels()
        return levels[-1] - levels[0] if levels else 0.0


@dataclass(slots=True, repr=False)
class Bed:
    """One patient. `risk` and `news2` are None until the first score.

    seen_at: when the last event happened, ms. events: of the stay, scored. stale: vital signs not measured
    for longer than is safe, or never. vitals: sign → last plausible value.
    """

    patient_id: str
    trend: Trend
    seen_at: int = 0
    risk: float | None = None
    news2: int | None = None
    complete: bool = False
    warm: bool = False
    late: bool = False
    events: int = 0
    stale: tuple[str, ...] = ()
    vitals: dict[str, float] = field(default_factory=dict)


OBSERVED_AT = re.compile(rb'"observed_at": ?(\d{1,16})')


class Board:
    """The beds of a ward. The feeding methods take polled records as they are and pass over what they cannot
    read: refusing events is the decoder's business.

    bucket_ms: how much event time one character of the trend covers.
    """

    def __init__(self, bucket_ms: int = 300_000) -> None:
        self._bucket_ms = bucket_ms
        self._beds: dict[str, Bed] = {}
        self.now_ms = 0
        self.model = self.target = ""

    def __len__(self) -> int:
        return len(self._beds)

    def score(self, records: Records) -> None:
        """Take RiskScore records. Of several of one patient in one stretch of time only the last is read."""
        last = {}
        for row, key in enumerate(records.keys):
            last[key, _observed_at(records.values[row]) // self._bucket_ms] = row
        for row in sorted(last.values()):
            try:
                score = _read_score(records.values[row] or b"")
                bed = self._bed((records.keys[row] or b"").decode())
            except UNREADABLE:
                continue
            bed.trend.add(score.observed_at, score.risk)
            bed.risk, bed.news2, bed.complete = score.risk, score.news2.score, score.news2.complete
            bed.events, bed.warm, bed.late = score.state.events, score.state.warm, score.state.late
            bed.stale = tuple(score.state.stale)
            self._see(bed, score.observed_at)
            self.model, self.target = score.model.name, score.target

    def observe(self, records: Records) -> None:
        """Take PatientEvent records: vital signs onto the board; a discharged patient off it."""
        for value, key in zip(records.values, records.keys, strict=True):
            try:
                event = _read_event(value or b"")
                own = event.patient_id.encode() == key
            except UNREADABLE:
                continue
            if not own:
                continue
            if event.type == "discharge":
                self._beds.pop(event.patient_id, None)
                continue
            bed = self._bed(event.patient_id)
            self._see(bed, event.observed_at)
            bed.vitals.update(_plausible(event.values))

    def beds(self) -> list[Bed]:
        """All patients, the highest risk first, those without a score last; equals by id."""
        return sorted(
            self._beds.values(),
            key=lambda bed: (1.0 if bed.risk is None else -bed.risk, bed.patient_id),
        )

    def _bed(self, patient_id: str) -> Bed:
        if patient_id not in self._beds:
            self._beds[patient_id] = Bed(patient_id, Trend(self._bucket_ms))
        return self._beds[patient_id]

    def _see(self, bed: Bed, at_ms: int) -> None:
        bed.seen_at = max(bed.seen_at, at_ms)
        self.now_ms = max(self.now_ms, at_ms)


def _observed_at(value: bytes | None) -> int:
    """Of a RiskScore, without reading the rest of it; 0 if it has none."""
    found = OBSERVED_AT.search(value or b"")
    return int(found[1]) if found else 0


def _plausible(values: dict[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if name in SHOWN and VARIABLES[INDEX[name]].low <= value <= VARIABLES[INDEX[name]].high:
            yield SHOWN[name], value
