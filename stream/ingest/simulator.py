"""A synthetic ward: any number of patients, some of whom deteriorate. Seeded, without a clock of its own."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from stream.ingest.measuring import HOUR_MS, Charted, Monitor
from stream.ingest.patients import Patients, Plot
from stream.ingest.physiology import CHARTED, CUFF, MONITOR
from stream.records import Outgoing

CHUNK = 8192
"""Events that are made at a time: their columns then stay in the processor's cache."""


class Ward:
    """Patients whose devices report every `interval` seconds, evenly spread over the interval.

    The first event of each patient is the admission; the first after it has every variable. The same
    seed gives the same events, however the calls of `tick` divide them.
    """

    def __init__(
        self,
        patients: int,
        seed: int,
        start_ms: int,
        interval: float = 1.0,
        plot: Plot | None = None,
        topic: str = "vitals.observations.v1",
    ) -> None:
        self.start_ms, self.interval_ms, self.topic = start_ms, max(1, round(interval * 1000)), topic
        self.keys = [b"sim-%06d" % number for number in range(patients)]
        self._phases = np.arange(patients, dtype=np.int64) * self.interval_ms // patients
        seeds = np.random.SeedSequence(seed).spawn(3 + len(CHARTED))
        self.patients = Patients(patients, np.random.default_rng(seeds[0]), plot or Plot())
        self._monitor = Monitor(self.patients, MONITOR, seeds[1], self.keys, self.interval_ms)
        self._charts = [Charted(self.patients, CUFF, seeds[2], ~self.patients.arterial)]
        self._charts += [
            Charted(self.patients, panel, seed) for panel, seed in zip(CHARTED, seeds[3:], strict=True)
        ]
        self._sent = 0

    def due(self, until_ms: int) -> int:
        """Events between the last one given and `until_ms`, inclusive."""
        rounds, rest = divmod(until_ms - self.start_ms, self.interval_ms)
        in_round = int(np.searchsorted(self._phases, rest, side="right"))
        return max(0, rounds * len(self.keys) + in_round - self._sent)

    def tick(self, until_ms: int, limit: int = sys.maxsize) -> Outgoing:
        """The next events that happen until `until_ms`, in order of time; no more than `limit`."""
        left = min(self.due(until_ms), limit)
        values: list[bytes] = []
        keys: list[bytes] = []
        times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        while left:
            turn, begin = divmod(self._sent, len(self.keys))
            end = min(begin + min(left, CHUNK), len(self.keys))
            rows = slice(begin, end)
            observed = self.start_ms + turn * self.interval_ms + self._phases[rows]
            values += self._observe(rows, observed, turn) if turn else self._admit(rows, observed)
            keys += self.keys[rows]
            times.append(observed)
            self._sent += end - begin
            left -= end - begin
        return Outgoing(self.topic, values, keys, timestamps=np.concatenate(times))

    def _admit(self, rows: slice, observed: NDArray[np.int64]) -> list[bytes]:
        events = zip(self.keys[rows], observed.tolist(), self.patients.statics[rows], strict=True)
        return [
            b'{"type":"admission","patient_id":"%s","observed_at":%d,"static":{%s}}' % event
            for event in events
        ]

    def _observe(self, rows: slice, observed: NDArray[np.int64], turn: int) -> list[bytes]:
        hours = (observed - self.start_ms) / HOUR_MS
        since = hours - self.interval_ms / HOUR_MS if turn > 1 else np.full_like(hours, -np.inf)
        events = self._monitor.events(rows, observed, hours)
        for chart in self._charts:
            for row, members in chart.members(rows, observed, hours, since):
                events[row] = b"%s%s}}" % (events[row][:-2], members)
        return events
