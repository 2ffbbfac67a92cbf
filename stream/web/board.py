"""The ward's board: the last that is known of each patient, fed from the streams. No clock, no screen."""

from __future__ import annotations

import heapq
from itertools import count

from stream.records import Records
from stream.web.messages import UNREADABLE, Event, read_event, read_score
from stream.web.patient import Bed, Patient, Place

DAY_MS = 86_400_000
MOST_GONE = 10_000
"""Discharged patients that are remembered, so that no old score brings them back."""
MOST_WAITING = 50_000
"""Events ahead of the clock that are kept until it has come so far."""


class Board:
    """The beds of a ward. The feeding methods take polled records as they are and pass over what they cannot
    read: refusing events is the decoder's business. The clock is that of the scores, which no refused event
    has; an event too far ahead of it waits.

    bucket_ms: how much event time one character of the trend covers. max_future_ms, expire_after_ms: as the
    worker's settings of these names.
    """

    def __init__(
        self,
        bucket_ms: int = 300_000,
        max_future_ms: int = 300_000,
        expire_after_ms: int = 3 * DAY_MS,
    ) -> None:
        self._bucket_ms, self._max_future_ms, self._expire_after_ms = (
            bucket_ms,
            max_future_ms,
            expire_after_ms,
        )
        self._patients: dict[str, Patient] = {}
        self._waiting: list[tuple[int, int, Event, Place]] = []
        self._arrivals = count()
        self.now_ms = 0
        self.model = self.target = ""

    def __len__(self) -> int:
        return sum(patient.present for patient in self._patients.values())

    def score(self, records: Records) -> None:
        """Take RiskScore records."""
        for value, key in zip(records.values, records.keys, strict=True):
            try:
                score, patient_id = read_score(value or b""), (key or b"").decode()
            except UNREADABLE:
                continue
            self.now_ms = max(self.now_ms, score.observed_at)
            patient = self._patient(patient_id)
            patient.scored(score)
            patient.forgive(self.now_ms + self._max_future_ms)
            self.model, self.target = score.model.name, score.target
        self._let_in()
        self._forget()

    def observe(self, records: Records) -> None:
        """Take PatientEvent records: vital signs onto the board; a discharged patient off it."""
        places = zip(records.partitions.tolist(), records.offsets.tolist(), strict=True)
        for value, key, place in zip(records.values, records.keys, places, strict=True):
            try:
                event = read_event(value or b"")
                own = event.patient_id.encode() == key
            except UNREADABLE:
                continue
            if not own:
                continue
            if (due := self._due(event)) <= self.now_ms:
                self._take(event, place)
            else:
                heapq.heappush(self._waiting, (due, next(self._arrivals), event, place))
        if len(self._waiting) > MOST_WAITING:
            self._waiting.sort()
            del self._waiting[MOST_WAITING // 2 :]
        self._forget()

    def beds(self) -> list[Bed]:
        """All patients, the highest risk first, those without a score last; equals by id."""
        since_ms = self.now_ms - self._expire_after_ms
        return sorted(
            (patient.bed(since_ms) for patient in self._patients.values() if patient.present),
            key=lambda bed: (1.0 if bed.risk is None else -bed.risk, bed.patient_id),
        )

    def _due(self, event: Event) -> int:
        """At which time of the clock the event is taken. A discharge may be the last of a patient, and of a
        small ward: nothing would move the clock to it."""
        return event.observed_at - (DAY_MS if event.type == "discharge" else self._max_future_ms)

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now_ms:
            _, _, event, place = heapq.heappop(self._waiting)
            self._take(event, place)

    def _take(self, event: Event, place: Place) -> None:
        if event.cancel and event.patient_id not in self._patients:
            return
        patient = self._patient(event.patient_id)
        patient.told(event, place)
        patient.forgive(self.now_ms + self._max_future_ms)

    def _forget(self) -> None:
        """Silent patients, and discharged ones after a day; of these the oldest where there are too many."""
        gone: list[tuple[int, str]] = []
        for patient_id, patient in list(self._patients.items()):
            present = patient.present
            if patient.last_at < self.now_ms - (self._expire_after_ms if present else DAY_MS):
                del self._patients[patient_id]
            elif not present:
                gone.append((patient.last_at, patient_id))
        if len(gone) > MOST_GONE:
            for _, patient_id in sorted(gone)[: len(gone) - MOST_GONE]:
                del self._patients[patient_id]

    def _patient(self, patient_id: str) -> Patient:
        if patient_id not in self._patients:
            self._patients[patient_id] = Patient(patient_id, self._bucket_ms)
        return self._patients[patient_id]
