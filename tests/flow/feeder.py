"""Events that keep coming while a test does other things."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from types import TracebackType
from typing import Self

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.kafka.librdkafka.sink import LibrdkafkaSink

PATIENTS = 40
EVERY_S = 0.01
BATCH = 10


class Feeder:
    """Sends ten events every 10 ms to `topic` until it is left; then all are acknowledged."""

    def __init__(self, servers: str, topic: str, prefix: str = "p") -> None:
        self._keys = [f"{prefix}{number}".encode() for number in range(PATIENTS)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(servers, topic), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self, servers: str, topic: str) -> None:
        sent = 0
        with closing(LibrdkafkaSink(Connection(servers))) as sink:
            while not self._stop.wait(EVERY_S):
                keys = [self._keys[(sent + row) % PATIENTS] for row in range(BATCH)]
                now = int(time.time() * 1000)
                values = [
                    b'{"patient_id":"%s","observed_at":%d,"values":{"HR":%d},"event_id":"%d"}'
                    % (key, now, 60 + (sent + row) % 50, sent + row)
                    for row, key in enumerate(keys)
                ]
                sink.send(Outgoing(topic, values, keys))
                sent += BATCH
            sink.flush(30)
