"""Events that keep coming: a synthetic ward with discharges, second admissions, late and faulty events."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from stream.synthetic.faults import Faulty, Shares
from stream.synthetic.simulator import Ward

TICK_S = 0.02
FLUSH_S = 120.0
INTERVAL_S = 60.0
BEGAN_AGO_MS = 20 * 3_600_000
FOREVER_MS = 2**62
LATE_MS = 600_000
FAULTY, DISCHARGED, ADMITTED, LATE = 0.02, 0.004, 0.003, 0.004
"""Shares of the ward's events that are followed by a faulty copy, a discharge, an admission, a late event."""


class Feed:
    """Sends `rate` events a second of `patients` patients to `topic` until it is left; then all of them are
    acknowledged. The producer is idempotent: a broker that dies makes no copies."""

    def __init__(self, servers: str, topic: str, rate: float, patients: int, seed: int) -> None:
        self.sent = 0
        self._rate, self._topic = rate, topic
        start = int(time.time() * 1000) - BEGAN_AGO_MS
        ward = Ward(patients, seed, start, INTERVAL_S, topic=topic)
        self._timeline = Faulty(ward, Shares(repeated=FAULTY / 2, unreadable=FAULTY), seed)
        self._rng = np.random.default_rng(seed)
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        self._failed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(FLUSH_S)
        left = self._producer.flush(FLUSH_S if kind is None else 1.0)
        assert kind is not None or not (left or self._failed), f"feed: {left} not sent, {self._failed[:3]}"

    def _run(self) -> None:
        begun = time.monotonic()
        ticked = 0
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - begun) * self._rate) - ticked
            ticked += due
            for key, value, at in self._events(due):
                self._send(key, value, at)
            self._producer.poll(0)

    def _events(self, count: int) -> list[tuple[bytes, bytes, int]]:
        ticked = self._timeline.tick(FOREVER_MS, count)
        times = [] if ticked.timestamps is None else ticked.timestamps.tolist()
        events: list[tuple[bytes, bytes, int]] = []
        for key, value, at in zip(ticked.keys, ticked.values, times, strict=True):
            assert key is not None and value is not None
            events.append((key, value, at))
            events += self._followers(key, at)
        return events

    def _followers(self, key: bytes, at: int) -> list[tuple[bytes, bytes, int]]:
        drawn = self._rng.random()
        if drawn < DISCHARGED:
            return [(key, b'{"type":"discharge","patient_id":"%s","observed_at":%d}' % (key, at), at)]
        if drawn < DISCHARGED + ADMITTED:
            event = b'{"type":"admission","patient_id":"%s","observed_at":%d,"static":{"age":%d}}'
            return [(key, event % (key, at, self._rng.integers(20, 90)), at)]
        if drawn < DISCHARGED + ADMITTED + LATE:
            event = b'{"patient_id":"%s","observed_at":%d,"values":{"HR":%d}}'
            return [(key, event % (key, at - LATE_MS, self._rng.integers(50, 120)), at)]
        return []

    def _send(self, key: bytes, value: bytes, at: int) -> None:
        arguments: dict[str, Any] = {"timestamp": at, "on_delivery": self._delivered}
        while True:
            try:
                self._producer.produce(self._topic, value, key, **arguments)
                break
            except BufferError:
                self._producer.poll(0.1)
        self.sent += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error.str())
