"""What the ward's devices and laboratory report of the patients, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from stream.synthetic.census import Census, Condition
from stream.synthetic.encoding import TIME, Spelling, lines, spell_times
from stream.synthetic.patients import SILENCEABLE, USUAL
from stream.synthetic.physiology import BURDEN, RESUSCITATED, TRAITS, Panel, changes, collapses, effects

WANDER_SECONDS = 420.0
LEAST_PULSE_PRESSURE = 10.0
VENTILATED_FROM = 0.35
"""Severity below which a patient who was resuscitated breathes without the ventilator again."""
HEAD = np.dtype("S116")
"""What `Census.head` gives, for up to ten million patients."""

Whom = Callable[[Condition], NDArray[np.bool_]]


class _Measured:
    """The variables of one panel in all patients. What is random does not depend on how calls divide rows."""

    def __init__(self, census: Census, panel: Panel, seed: np.random.SeedSequence) -> None:
        noise, gaps = (np.random.default_rng(child) for child in seed.spawn(2))
        self._census, self._panel, self._noise, self._gaps = census, panel, noise, gaps
        self._spelling = Spelling(panel.names)
        self._early, self._late = effects(panel.names)
        self._collapsed, self._minutes = collapses(panel.names)
        traits = [TRAITS[name] for name in panel.names]
        self._wander = np.array([trait.wander for trait in traits], np.float32)
        self._swing = np.array([trait.swing for trait in traits], np.float32)
        self._spread = np.array([trait.spread for trait in traits], np.float32)
        self._mean = np.array([trait.mean for trait in traits], np.float32)
        self._burden, self._resuscitated = changes(BURDEN, panel.names), changes(RESUSCITATED, panel.names)
        self._usual = np.zeros((len(census.people), len(traits)), np.float32)
        self._pressures = [panel.names.index(name) for name in panel.names if name.endswith(("ABP", "MAP"))]

    def admit(self, places: NDArray[np.int64]) -> None:
        """Take in the patients who were just admitted to `places`."""
        people = self._census.people[places]
        columns = [USUAL[name] for name in self._panel.names]
        self._usual[places] = self._mean + self._spread * people["usual"][:, columns]
        self._usual[places] += people["burden"][:, None] * self._burden

    def _values(
        self, usual: NDArray[np.float32], condition: Condition, noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        course, severity = condition.courses, condition.severity[:, None]
        values: NDArray[np.float32] = usual + self._swing * condition.of_day[:, None] + self._wander * noise
        values += severity * (2.0 - severity) * self._early[course] + severity * severity * self._late[course]
        if len(helped := np.flatnonzero(condition.ventilated)):
            values[helped] += severity[helped] * self._resuscitated
        if len(stopped := np.flatnonzero(condition.arresting)):
            left = np.exp(-condition.arrest[stopped, None] / self._minutes)
            values[stopped] = self._collapsed + (values[stopped] - self._collapsed) * left
        if self._pressures:
            systolic, diastolic, mean = self._pressures
            highest = values[:, systolic] - LEAST_PULSE_PRESSURE
            np.minimum(values[:, diastolic], highest, out=values[:, diastolic])
            values[:, mean] = (values[:, systolic] + 2.0 * values[:, diastolic]) / 3.0
        return values

    def _absent(self, count: int) -> NDArray[np.bool_]:
        drawn = self._gaps.random((count, len(self._panel.names)), np.float32)
        return np.asarray(drawn < self._panel.gap)


class Monitor(_Measured):
    """Bedside monitors: an observation at each event, whose values wander from one to the next."""

    def __init__(self, census: Census, panel: Panel, seed: np.random.SeedSequence, interval_ms: int) -> None:
        super().__init__(census, panel, seed)
        self._state: NDArray[np.float32] = self._noise.standard_normal(self._usual.shape, np.float32)
        self._kept = np.float32(np.exp(-interval_ms / 1000.0 / WANDER_SECONDS))
        self._heads = np.zeros(len(census.people), HEAD)
        between = ("between", "S16")
        opening, closing = ("opening", "S11"), ("closing", "S3")
        times = ("id", TIME), between, ("time", TIME)
        self._row = np.dtype([("head", HEAD), *times, opening, *self._spelling.fields, closing])

    def admit(self, places: NDArray[np.int64]) -> None:
        super().admit(places)
        self._heads[places] = [self._census.head(b"observation", place) for place in places.tolist()]

    def events(self, rows: slice, observed: NDArray[np.int64], condition: Condition) -> list[bytes]:
        """One observation, in JSON, of each patient of `rows`, made at `observed` [N], ms."""
        count = len(observed)
        fresh = self._noise.standard_normal((count, self._usual.shape[1]), np.float32)
        self._state[rows] *= self._kept
        self._state[rows] += np.sqrt(1.0 - self._kept**2) * fresh
        values = self._values(self._usual[rows], condition, self._state[rows])
        written = np.empty(count, self._row)
        written["head"], written["between"] = self._heads[rows], b'","observed_at":'
        written["opening"], written["closing"] = b',"values":{', b"}}\n"
        written["id"] = written["time"] = spell_times(observed)
        self._spelling.fill(written, values, self._missing(condition), first=True)
        return lines(written)

    def _missing(self, condition: Condition) -> NDArray[np.bool_]:
        absent = self._absent(len(condition.courses))
        absent[condition.arresting] = False
        absent[:, self._pressures] |= ~condition.arterial[:, None]
        for sensor, silent in zip(SILENCEABLE, condition.silent, strict=True):
            absent[:, self._panel.names.index(sensor)] |= silent
        absent[absent.all(axis=1), 0] = False
        return absent


class Charted(_Measured):
    """What is measured now and then: some of the events hold it in addition.

    whom: which of the patients have it measured.
    """

    def __init__(
        self, census: Census, panel: Panel, seed: np.random.SeedSequence, whom: Whom | None = None
    ) -> None:
        super().__init__(census, panel, seed)
        self._every, self._closely = panel.every / 3600.0, panel.closely / 3600.0
        self._offset = self._noise.uniform(0.0, self._every, len(census.people))
        self._last = np.full(len(census.people), np.inf)
        self._whom = whom
        self._row = np.dtype([*self._spelling.fields, ("closing", "S1")])

    def admit(self, places: NDArray[np.int64]) -> None:
        super().admit(places)
        self._last[places] = -np.inf

    def members(
        self, rows: slice, hours: NDArray[np.float64], condition: Condition
    ) -> Iterable[tuple[int, bytes]]:
        """For those of `rows` in whom it is due at `hours` [N]: the row's number within `rows`, and the
        members to add to the event's values, with a comma before each."""
        due = self._due(rows, hours, condition)
        if not len(due):
            return []
        condition = condition.take(due)
        noise = self._noise.standard_normal((len(due), self._usual.shape[1]), np.float32)
        values = self._values(self._usual[due + rows.start], condition, noise)
        written = np.empty(len(due), self._row)
        written["closing"] = b"\n"
        self._spelling.fill(written, values, self._absent(len(due)), first=False)
        return zip(due.tolist(), lines(written), strict=True)

    def _due(self, rows: slice, hours: NDArray[np.float64], condition: Condition) -> NDArray[np.int64]:
        """Patients of `rows` who were not measured for too long. The first time is at once, the second after
        a part of the usual time, so that not all are measured together."""
        due = hours - self._last[rows] >= np.where(condition.ill, self._closely, self._every)
        if self._whom:
            due &= self._whom(condition)
        due_rows = np.flatnonzero(due)
        places = due_rows + rows.start
        first = np.isneginf(self._last[places])
        self._last[places] = hours[due_rows] - np.where(first, self._offset[places], 0.0)
        return due_rows


class Ventilator(Charted):
    """Whether a machine breathes for the patient: 1 after the arrest, 0 once that is no longer needed."""

    def _values(
        self, usual: NDArray[np.float32], condition: Condition, noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        del usual, noise
        return (condition.severity > VENTILATED_FROM).astype(np.float32)[:, None]
