"""What a demo counts: events sent, scores and dead letters read back, and the time between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from stream.columns.records import Outgoing, Records

NOT_SCORED = (b'{"type":"discharge"', b'{"type":"transfer"')
"""How the simulator's events begin of which the worker makes no score."""
LATE = b'"late":true'
CODE_HEADER = "vitalstream.error.code"


class Tally:
    """Counts, and pairs each score with its event by patient and event time, in monotonic seconds.

    late: scores of events older than one that came before. unscored: transfers and discharges, of which
    there is no score, without those that were refused.
    `sending` may be called on another thread than the rest.
    """

    def __init__(self) -> None:
        self.events = self.scores = self.late = self.unscored = 0
        self.dead_letters: Counter[str] = Counter()
        self.timing = threading.Event()
        self._sent: dict[tuple[bytes | None, int], float] = {}
        self._latencies: list[float] = []
        self._first = self._last = 0.0

    @property
    def open(self) -> int:
        """Events of which something is still to come back."""
        return self.events - self.scores - self.dead_letters.total() - self.unscored

    def sending(self, batch: Outgoing) -> None:
        """Note a batch that is about to be sent. While `timing` is set its scores' latency counts."""
        now = time.monotonic()
        self._first = self._first or now
        if self.timing.is_set() and batch.timestamps is not None:
            self._sent |= dict.fromkeys(zip(batch.keys, batch.timestamps.tolist(), strict=True), now)
        self.events += len(batch)
        self.unscored += _not_scored(batch.values)

    def scored(self, arrived: float, records: Records) -> None:
        """Note scores that were read at `arrived`; their timestamps are their events'."""
        self.scores += len(records)
        self.late += sum(LATE in (value or b"") for value in records.values)
        self._last = max(self._last, arrived)
        for event in zip(records.keys, records.timestamps.tolist(), strict=True):
            sent = self._sent.pop(event, None)
            if sent is not None:
                self._latencies.append(arrived - sent)

    def refused(self, records: Records) -> None:
        """Note dead letters, with their headers."""
        self.unscored -= _not_scored(records.values)
        for headers in records.headers or []:
            self.dead_letters[(dict(headers).get(CODE_HEADER) or b"unknown").decode()] += 1

    def latency_ms(self, quantile: float) -> float | None:
        """None if no score has been timed."""
        if not self._latencies:
            return None
        return round(1000.0 * float(np.quantile(np.array(self._latencies), quantile)), 1)

    def events_per_second(self) -> float:
        """Events over the time from the first one sent to the last score read."""
        return round(self.events / (self._last - self._first), 1) if self._last > self._first else 0.0

    def figures(self) -> dict[str, int | float | None]:
        return {
            "events": self.events,
            "scores": self.scores,
            "dead_letters": self.dead_letters.total(),
            "unscored": self.unscored,
            "late": self.late,
            "events_per_second": self.events_per_second(),
            "latency_p50_ms": self.latency_ms(0.5),
            "latency_p99_ms": self.latency_ms(0.99),
        }


def _not_scored(values: Sequence[bytes | None]) -> int:
    return sum((value or b"").startswith(NOT_SCORED) for value in values)
