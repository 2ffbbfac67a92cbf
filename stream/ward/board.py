"""The ward's board: the last that is known of each patient, fed from the streams. No clock, no screen."""

from __future__ import annotations

import heapq
from itertools import count

from stream.columns.records import Place, Records
from stream.contracts.readers import UNREADABLE, Event, read_event, read_refusal, read_score
from stream.ward.patient import Bed, Patient
from stream.ward.stay import WardProgress

DAY_MS = 86_400_000
MOST_GONE = 10_000
"""Discharged patients that are remembered, so that no old score brings them back."""
MOST_WAITING = 50_000
"""Events ahead of the clock that are kept until it has come so far."""
MOST_REFUSED = 200_000
"""Places of refused events that are kept until the events are read."""


class Board:
    """The beds of a ward. The feeding methods take polled records as they are and pass over what they cannot
    read. Refusing events is the worker's business: the dead letters report what it refused, and that is taken
    back. Until then an event holds; but the clock is that of the scores, which no refused event has, and an
    event too far ahead of it waits.

    bucket_ms: how much event time one character of the trend covers. max_future_ms, expire_after_ms,
    discharge_grace_ms: as the worker's settings of these names. topic: of the events, as in the dead letters.
    """

    def __init__(
        self,
        bucket_ms: int = 300_000,
        max_future_ms: int = 300_000,
        expire_after_ms: int = 3 * DAY_MS,
        discharge_grace_ms: int = DAY_MS // 2,
        topic: str = "vitals.observations.v1",
    ) -> None:
        self._bucket_ms, self._max_future_ms, self._expire_after_ms = (
            bucket_ms,
            max_future_ms,
            expire_after_ms,
        )
        self._discharge_grace_ms = discharge_grace_ms
        self._topic = topic.encode()
        self._patients: dict[str, Patient] = {}
        self._waiting: list[tuple[int, int, Event, Place]] = []
        self._arrivals = count()
        self._next: dict[int, int] = {}  # partition → offset from which on its events are to be read
        self._refused: dict[Place, None] = {}
        self._done: dict[int, int] = {}
        self.now_ms = 0
        self.model = self.target = ""

    def __len__(self) -> int:
        progress = self._progress
        return sum(patient.present(progress) for patient in self._patients.values())

    def score(self, records: Records) -> None:
        """Take RiskScore records."""
        for value, key in zip(records.values, records.keys, strict=True):
            try:
                score, patient_id = read_score(value or b""), (key or b"").decode()
            except UNREADABLE:
                continue
            self.now_ms = max(self.now_ms, score.observed_at)
            self._pass((score.source.partition, score.source.offset))
            self._patient(patient_id).scored(score, self._since_ms)
            self.model, self.target = score.model.name, score.target
        self._let_in()
        self._forget()

    def observe(self, records: Records) -> None:
        """Take PatientEvent records: vital signs onto the board; a discharged patient off it."""
        places = zip(records.partitions.tolist(), records.offsets.tolist(), strict=True)
        for value, key, place in zip(records.values, records.keys, places, strict=True):
            self._next[place[0]] = place[1] + 1
            if place in self._refused:
                del self._refused[place]
                continue
            try:
                event = read_event(value or b"")
                own = event.patient_id.encode() == key
            except UNREADABLE:
                continue
            if not own:
                continue
            if (due := self._due(event)) <= self.now_ms:
                self._patient(event.patient_id).reported(event, place)
            else:
                heapq.heappush(self._waiting, (due, next(self._arrivals), event, place))
        if len(self._waiting) > MOST_WAITING:
            self._waiting.sort()
            del self._waiting[MOST_WAITING // 2 :]
        self._forget()

    def refuse(self, records: Records) -> None:
        """Take dead letters, with their headers: the contents of the events are taken back, or passed over
        when read. Scores stay."""
        refused: set[Place] = set()
        for key, headers in zip(records.keys, records.headers or (), strict=False):
            if (place := read_refusal(headers, self._topic)) is None:
                continue
            refused.add(place)
            self._pass(place)
            if place[1] >= self._next.get(place[0], 0):
                self._refused[place] = None
            elif patient := self._patients.get((key or b"").decode(errors="replace")):
                patient.refused(place)
        while len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        waiting = [entry for entry in self._waiting if entry[3] not in refused]
        if len(waiting) < len(self._waiting):
            self._waiting = waiting
            heapq.heapify(waiting)
        self._forget()

    def beds(self) -> list[Bed]:
        """All patients, the highest risk first, those without a score last; equals by id."""
        progress = self._progress
        present = (patient for patient in self._patients.values() if patient.present(progress))
        return sorted(
            (patient.bed(progress.since_ms) for patient in present),
            key=lambda bed: (1.0 if bed.risk is None else -bed.risk, bed.patient_id),
        )

    @property
    def _since_ms(self) -> int:
        """Nothing older counts."""
        return self.now_ms - self._expire_after_ms

    @property
    def _progress(self) -> WardProgress:
        return WardProgress(self._since_ms, self._discharge_grace_ms, self._done)

    def _pass(self, place: Place) -> None:
        self._done[place[0]] = max(self._done.get(place[0], -1), place[1])

    def _due(self, event: Event) -> int:
        """At which time of the clock the event is taken. A discharge may be the last of a patient, and of a
        small ward: nothing would move the clock to it."""
        return event.observed_at - (DAY_MS if event.type == "discharge" else self._max_future_ms)

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now_ms:
            _, _, event, place = heapq.heappop(self._waiting)
            self._patient(event.patient_id).reported(event, place)

    def _forget(self) -> None:
        """Forget patients who are silent, discharged or not, and the oldest discharged ones beyond the
        limit."""
        gone: list[tuple[int, str]] = []
        progress = self._progress
        for patient_id, patient in list(self._patients.items()):
            patient.forget(self._since_ms)
            if patient.last_at < max(self._since_ms, 1):
                del self._patients[patient_id]
            elif not patient.present(progress):
                gone.append((patient.last_at, patient_id))
        if len(gone) > MOST_GONE:
            for _, patient_id in sorted(gone)[: len(gone) - MOST_GONE]:
                del self._patients[patient_id]

    def _patient(self, patient_id: str) -> Patient:
        if patient_id not in self._patients:
            self._patients[patient_id] = Patient(patient_id, self._bucket_ms)
        return self._patients[patient_id]
