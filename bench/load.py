"""Load on the input topic, all at once before a run or at a fixed rate beside it; and latencies after it.

python -m bench.load BOOTSTRAP TOPIC EVENTS_PER_SECOND SECONDS PATIENTS
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker import PARTITIONS
from bench.messages import START_MS, observations

TICK_S = 0.001
PATIENCE_S = 30
POOL = 200_000  # events prepared before the clock starts; then the same again
OBSERVED_AT = re.compile(rb'"observed_at": ?(\d+)')


def observed_ms(value: bytes) -> int:
    found = OBSERVED_AT.search(value)
    if found is None:
        raise ValueError("a score has no observed_at")
    return int(found[1])


def producer(bootstrap: str, linger_ms: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": linger_ms,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 2_000_000,
        }
    )


def preload(bootstrap: str, topic: str, events: int, patients: int) -> None:
    """Write all events and return when the broker has acknowledged them."""
    deliver(bootstrap, topic, observations(events, patients))


def deliver(bootstrap: str, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Write keys and values and return when the broker has acknowledged them."""
    out = producer(bootstrap, 20)
    for key, value in pairs:
        while True:
            try:
                out.produce(topic, value, key)
                break
            except BufferError:
                out.poll(0.1)
    if out.flush(120):
        raise RuntimeError("the broker did not take the events")


def send_at_rate(bootstrap: str, topic: str, rate: float, seconds: float, patients: int) -> dict[str, float]:
    """Open loop: each millisecond's events are sent when they are due, whatever became of those before.

    `observed_at` is the moment at which an event was due, so a sender that falls behind makes the latency
    look worse and never better. Returns the events sent, the first `observed_at` and the longest delay of
    the sender in ms.
    """
    pool = list(_without_time(observations(min(int(rate * seconds), POOL), patients)))
    out = producer(bootstrap, 5)
    begin, sent, late = time.time() + 0.1, 0, 0.0
    for tick in range(round(seconds / TICK_S)):
        due = begin + tick * TICK_S
        if (early := due - time.time()) > 0:
            time.sleep(early)
        late = max(late, time.time() - due)
        moment = b"%d" % round(due * 1000)
        until = due_after(tick + 1, rate)
        for number in range(sent, until):
            key, before, after = pool[number % len(pool)]
            out.produce(topic, before + moment + after, key)
        sent = until
        out.poll(0)
    if out.flush(60):
        raise RuntimeError("the broker did not take the events")
    return {"events": sent, "begin_ms": round(begin * 1000), "late_ms": late * 1000}


def sender(bootstrap: str, topic: str, rate: int, seconds: float, patients: int) -> list[str]:
    """The command that does `send_at_rate` in a process of its own."""
    return [sys.executable, "-m", "bench.load", bootstrap, topic, str(rate), f"{seconds:g}", str(patients)]


def due_after(ticks: int, rate: float) -> int:
    """Events that are due in the first so many ticks."""
    return int(ticks * TICK_S * rate)


def _without_time(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes, bytes]]:
    for number, (key, value) in enumerate(pairs):
        before, _, after = value.partition(b"%d" % (START_MS + number))
        yield key, before, after


@dataclass(frozen=True)
class Latency:
    events: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class TopicReader:
    """Reads an output topic's first `events` records, on a thread of its own. live: while they are written,
    to know when a `read_committed` consumer has them; otherwise each one's time is that of the append."""

    def __init__(self, bootstrap: str, topic: str, events: int, *, live: bool) -> None:
        self._settings = {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-reader",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 10,
        }
        self._topic, self._events, self._live = topic, events, live
        self._values: list[bytes] = []
        self._at: list[float] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        if live:
            self._thread.start()

    def waits(self) -> tuple[np.ndarray, np.ndarray]:
        """When each event was due, ms, and how long after that its score was there, ms. Waits until all is
        read."""
        if not self._live:
            self._thread.start()
        self._thread.join()
        if len(self._values) < self._events:
            raise RuntimeError(f"{self._events - len(self._values)} records are missing in {self._topic}")
        due = np.array([observed_ms(value) for value in self._values])
        return due, np.array(self._at) - due

    def latency(self, from_ms: float) -> Latency:
        """The latency of the events due from `from_ms` on. Waits until all is read."""
        due, waits = self.waits()
        waited = waits[due >= from_ms]
        p50, p99 = np.percentile(waited, [50, 99])
        return Latency(len(waited), float(p50), float(p99), float(waited.max()))

    def _read(self) -> None:
        reader = Consumer(self._settings)
        reader.assign([TopicPartition(self._topic, number, 0) for number in range(PARTITIONS)])
        while len(self._values) < self._events:
            batch = reader.consume(2000, 0)
            if not batch and (first := reader.poll(0.005 if self._live else PATIENCE_S)) is not None:
                batch = [first]
            now = time.time() * 1000
            if not batch and not self._live:
                break
            self._values += [message.value() or b"" for message in batch]
            self._at += [now if self._live else message.timestamp()[1] for message in batch]
        reader.close()


def main() -> None:
    bootstrap, topic, rate, seconds, patients = sys.argv[1:]
    print(json.dumps(send_at_rate(bootstrap, topic, float(rate), float(seconds), int(patients))))


if __name__ == "__main__":
    main()
