"""A synthetic ward: patients come, some of them deteriorate, and go. Seeded, without a clock of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream.columns.records import Outgoing
from stream.synthetic.census import HOUR_MS, Census
from stream.synthetic.measuring import Charted, Monitor, Ventilator
from stream.synthetic.physiology import CHART, CUFF, LABORATORY, MONITOR, VENTILATOR
from stream.synthetic.scenario import Scenario

CHUNK = 8192
"""Events that are made at a time: their columns then stay in the processor's cache."""


class Ward:
    """Places for `patients`, each of which gives one event every `interval` seconds, evenly spread over the
    interval: first the patient's admission, then observations, now and then a transfer, at last the
    discharge; then comes the next patient.

    The first observation after an admission has every variable. The same seed gives the same events,
    however the calls of `tick` divide them. newcomers: the scenario of those who are admitted later.
    """

    def __init__(
        self,
        patients: int,
        seed: int,
        start_ms: int,
        interval: float = 1.0,
        scenario: Scenario | None = None,
        topic: str = "vitals.observations.v1",
        newcomers: Scenario | None = None,
    ) -> None:
        self.start_ms, self.interval_ms, self.topic = start_ms, max(1, round(interval * 1000)), topic
        self._phases = np.arange(patients, dtype=np.int64) * self.interval_ms // patients
        seeds = iter(np.random.SeedSequence(seed).spawn(5 + len(LABORATORY)))
        scenario = scenario or Scenario()
        self.census = Census(patients, scenario, newcomers or scenario, next(seeds))
        self._monitor = Monitor(self.census, MONITOR, next(seeds), self.interval_ms)
        self._charts = [
            Charted(self.census, CUFF, next(seeds), lambda condition: ~condition.arterial),
            Charted(self.census, CHART, next(seeds)),
            Ventilator(self.census, VENTILATOR, next(seeds), lambda condition: condition.ventilated),
        ]
        self._charts += [Charted(self.census, panel, next(seeds)) for panel in LABORATORY]
        self._sent = 0

    @property
    def admissions(self) -> int:
        """Patients admitted so far; one who returned counts once."""
        return self.census.patients

    def due(self, until_ms: int) -> int:
        """Events between the last one given and `until_ms`, inclusive."""
        rounds, rest = divmod(until_ms - self.start_ms, self.interval_ms)
        in_round = int(np.searchsorted(self._phases, rest, side="right"))
        return max(0, rounds * len(self._phases) + in_round - self._sent)

    def tick(self, until_ms: int, limit: int = sys.maxsize) -> Outgoing:
        """The next events that happen until `until_ms`, in order of time; no more than `limit`."""
        values: list[bytes] = []
        keys: list[bytes] = []
        times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        for rows, observed in self._turns(min(self.due(until_ms), limit)):
            values += self._observe(rows, observed)
            keys += self.census.keys[rows]
            times.append(observed)
        return Outgoing(self.topic, values, keys, timestamps=np.concatenate(times))

    def _turns(self, left: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """The places of the next `left` events, and when each happens, in ms."""
        while left:
            turn, begin = divmod(self._sent, len(self._phases))
            rows = slice(begin, min(begin + min(left, CHUNK), len(self._phases)))
            yield rows, self.start_ms + turn * self.interval_ms + self._phases[rows]
            self._sent += rows.stop - rows.start
            left -= rows.stop - rows.start

    def _observe(self, rows: slice, observed: NDArray[np.int64]) -> list[bytes]:
        admitted = self.census.admit(rows, observed)
        condition = self.census.condition(rows, observed)
        hours = (observed - self.start_ms) / HOUR_MS
        events = self._monitor.events(rows, observed, condition)
        for chart in self._charts:
            for row, members in chart.members(rows, hours, condition):
                events[row] = b"%s%s}}" % (events[row][:-2], members)
        for row, event in self.census.moves(rows, observed, admitted):
            events[row] = event
        if len(admitted):
            for measured in (self._monitor, *self._charts):
                measured.admit(admitted)
        return events
