"""What the ward's devices and laboratory report of the patients, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.ingest.encoding import TIME, Spelling, lines, spell_times
from stream.ingest.patients import Patients
from stream.ingest.physiology import TRAITS, Panel, burden, effects

HOUR_MS = 3_600_000
PEAK_HOUR = 16.0
WANDER_SECONDS = 420.0
LEAST_PULSE_PRESSURE = 10.0

Rows = NDArray[np.int64] | slice


class _Measured:
    """The variables of one panel in all patients. What is random does not depend on how calls divide rows."""

    def __init__(self, patients: Patients, panel: Panel, seed: np.random.SeedSequence) -> None:
        usual, noise, gaps = (np.random.default_rng(child) for child in seed.spawn(3))
        self._patients, self._panel, self._noise, self._gaps = patients, panel, noise, gaps
        self._spelling = Spelling(panel.names)
        self._early, self._late = effects(panel.names)
        traits = [TRAITS[name] for name in panel.names]
        self._wander = np.array([trait.wander for trait in traits], np.float32)
        self._swing = np.array([trait.swing for trait in traits], np.float32)
        spread = np.array([trait.spread for trait in traits], np.float32)
        mean = np.array([trait.mean for trait in traits], np.float32)
        shape = (len(patients.courses), len(traits))
        self._usual: NDArray[np.float32] = mean + spread * usual.standard_normal(shape, np.float32)
        self._usual += patients.burden[:, None] * burden(panel.names)
        self._pressures = [panel.names.index(name) for name in panel.names if name.endswith(("ABP", "MAP"))]

    def _values(
        self, rows: Rows, observed: NDArray[np.int64], hours: NDArray[np.float64], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        course, severity = self._patients.courses[rows], self._patients.severity(rows, hours)[:, None]
        of_day = observed / HOUR_MS % 24.0 - PEAK_HOUR - self._patients.acrophase[rows]
        day = np.cos(of_day * (np.pi / 12.0)).astype(np.float32)[:, None]
        values: NDArray[np.float32] = self._usual[rows] + self._swing * day + self._wander * noise
        values += severity * (2.0 - severity) * self._early[course] + severity * severity * self._late[course]
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

    def __init__(
        self,
        patients: Patients,
        panel: Panel,
        seed: np.random.SeedSequence,
        keys: Sequence[bytes],
        interval_ms: int,
    ) -> None:
        super().__init__(patients, panel, seed)
        self._state: NDArray[np.float32] = self._noise.standard_normal(self._usual.shape, np.float32)
        self._kept = np.float32(np.exp(-interval_ms / 1000.0 / WANDER_SECONDS))
        heads = [b'{"type":"observation","patient_id":"%s","observed_at":' % key for key in keys]
        self._heads = np.array(heads, np.bytes_)
        opening, closing = ("opening", "S11"), ("closing", "S3")
        head = ("head", self._heads.dtype)
        self._row = np.dtype([head, *TIME.descr, opening, *self._spelling.fields, closing])

    def events(self, rows: slice, observed: NDArray[np.int64], hours: NDArray[np.float64]) -> list[bytes]:
        """One observation, in JSON, of each patient of `rows`, made at `observed` [N], ms."""
        count = len(observed)
        fresh = self._noise.standard_normal((count, self._usual.shape[1]), np.float32)
        self._state[rows] *= self._kept
        self._state[rows] += np.sqrt(1.0 - self._kept**2) * fresh
        values = self._values(rows, observed, hours, self._state[rows])
        written = np.empty(count, self._row)
        written["head"], written["opening"], written["closing"] = self._heads[rows], b',"values":{', b"}}\n"
        spell_times(written, observed)
        self._spelling.fill(written, values, self._missing(rows, hours), first=True)
        return lines(written)

    def _missing(self, rows: slice, hours: NDArray[np.float64]) -> NDArray[np.bool_]:
        absent = self._absent(len(hours))
        absent[:, self._pressures] |= ~self._patients.arterial[rows][:, None]
        for sensor in Patients.SILENCEABLE:
            absent[:, self._panel.names.index(sensor)] |= self._patients.silent(sensor, rows, hours)
        absent[absent.all(axis=1), 0] = False
        return absent


class Charted(_Measured):
    """What is measured now and then: some of the events hold it in addition."""

    def __init__(
        self,
        patients: Patients,
        panel: Panel,
        seed: np.random.SeedSequence,
        whom: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(patients, panel, seed)
        self._every = panel.every / 3600.0
        self._offset = self._noise.uniform(0.0, self._every, len(patients.courses))
        self._whom = np.ones(len(patients.courses), bool) if whom is None else whom
        self._row = np.dtype([*self._spelling.fields, ("closing", "S1")])

    def members(
        self, rows: slice, observed: NDArray[np.int64], hours: NDArray[np.float64], since: NDArray[np.float64]
    ) -> Iterable[tuple[int, bytes]]:
        """For those of `rows` in whom it was due between `since` and `hours`: the row's number within `rows`,
        and the members to add to the event's values, with a comma before each."""
        offset = self._offset[rows]
        late = np.floor((hours - offset) / self._every) > np.floor((since - offset) / self._every)
        due = np.flatnonzero(late & self._whom[rows])
        if not len(due):
            return []
        noise = self._noise.standard_normal((len(due), self._usual.shape[1]), np.float32)
        values = self._values(due + rows.start, observed[due], hours[due], noise)
        written = np.empty(len(due), self._row)
        written["closing"] = b"\n"
        self._spelling.fill(written, values, self._absent(len(due)), first=False)
        return zip(due.tolist(), lines(written), strict=True)
