"""The sink over kafka-python: pure Python, for machines without librdkafka."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

from stream.columns.records import Headers, Outgoing
from stream.connection import Connection
from stream.errors import BrokerError, DeliveryError
from stream.kafka.kafka_python.common import Contact, configuration, create, not_done
from stream.kafka.sink import CLOSE_TIMEOUT_S, FULL_QUEUE_WAIT_S, MAX_RECORD_BYTES

MAX_UNACKNOWLEDGED = 100_000


@dataclass
class _Sent:
    """An `Outgoing` on its way. left: records of it that are not acknowledged, sent or not."""

    topic: str
    left: int
    on_acknowledged: Callable[[], None] | None
    futures: deque[FutureRecordMetadata] = field(default_factory=deque)


class KafkaPythonSink:
    """A `Sink`. A record fails after two minutes without acknowledgement (`delivery_timeout_ms`).

    kafka-python queues without a limit; this sink blocks at `MAX_UNACKNOWLEDGED` records. The first
    failure ends the sink: every later `send`, `service` and `flush` raises it again, and nothing but
    `reset` and `close` is left to do. Creating it connects, and raises `BrokerUnavailable`.
    """

    def __init__(self, connection: Connection, *, linger_ms: int = 5, compression: str = "lz4") -> None:
        self._settings = configuration(
            connection,
            {
                "enable_idempotence": True,
                "linger_ms": linger_ms,
                "compression_type": None if compression == "none" else compression,
                "batch_size": 131_072,
                "max_request_size": MAX_RECORD_BYTES,
                "metrics_enabled": False,
            },
        )
        self._begin()

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        producer, topic, rows = self._open(), outgoing.topic, list(columns(outgoing))
        sent = _Sent(topic, len(outgoing), on_acknowledged)
        self._sent.append(sent)
        try:
            for value, key, headers, partition, timestamp in rows:
                while self._unacknowledged >= MAX_UNACKNOWLEDGED:
                    self._wait(FULL_QUEUE_WAIT_S)
                sent.futures.append(producer.send(topic, value, key, headers, partition, timestamp))
                self._unacknowledged += 1
        except (KafkaError, ValueError) as error:
            raise self._failed(topic, error) from error
        self._reap()

    def service(self) -> None:
        self._open()
        self._reap()

    def flush(self, timeout: float) -> None:
        self._open()
        deadline = time.monotonic() + timeout
        self._reap()
        while self._sent:
            if (left := deadline - time.monotonic()) <= 0:
                raise DeliveryError(
                    f"{self._unacknowledged} records are not acknowledged after {timeout:g} s"
                )
            self._wait(left)

    def reset(self) -> None:
        self._release()
        self._begin()

    def close(self, *, flush: bool = True) -> None:
        """As `Sink.close`. Raises `DeliveryError` if records stay undelivered that no call reported."""
        if self._producer is None:
            return
        try:
            if flush and self._failure is None:
                self.flush(CLOSE_TIMEOUT_S)
        finally:
            self._release()

    def unacknowledged(self) -> int:
        """Records sent and neither acknowledged nor failed, as last seen by `send`, `service` or `flush`."""
        return self._unacknowledged

    def _begin(self) -> None:
        self._contact = Contact()
        self._producer: KafkaProducer | None = create(KafkaProducer, self._settings, self._contact)
        self._sent: deque[_Sent] = deque()
        self._unacknowledged = 0
        self._failure: BrokerError | None = None

    def _release(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if self._unacknowledged:
            producer._sender.force_close()  # without it `close` raises before it ends the thread
        producer.close(timeout=CLOSE_TIMEOUT_S)

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            raise DeliveryError("the sink is closed")
        self._contact.check()
        if self._failure is not None:
            raise self._failure
        return self._producer

    def _wait(self, seconds: float) -> None:
        """Wait for the oldest record, then take all acknowledgements that have arrived."""
        with suppress(KafkaError):
            self._sent[0].futures[0].get(timeout=seconds)
        self._reap()

    def _reap(self) -> None:
        """Take the acknowledgements that have arrived, in the order of sending."""
        while self._sent:
            sent = self._sent[0]
            while sent.futures and sent.futures[0].is_done:
                future = sent.futures.popleft()
                if future.failed():
                    raise self._failed(sent.topic, future.exception)
                sent.left -= 1
                self._unacknowledged -= 1
            if sent.left:
                return
            self._sent.popleft()
            if sent.on_acknowledged:
                sent.on_acknowledged()

    def _failed(self, topic: str, error: Exception) -> BrokerError:
        self._failure = not_done(error, f"writing {topic}", DeliveryError)
        return self._failure


def columns(outgoing: Outgoing) -> Iterable[tuple[Any, ...]]:
    """Value, key, headers, partition and timestamp of each record, as `KafkaProducer.send` wants them: a
    header without a value becomes an empty one."""
    partitions, timestamps, headers = outgoing.partitions, outgoing.timestamps, outgoing.headers
    rows = len(outgoing)
    return zip(
        outgoing.values,
        outgoing.keys,
        repeat(None, rows) if headers is None else map(_with_values, headers),
        repeat(None, rows) if partitions is None else partitions.tolist(),
        repeat(None, rows) if timestamps is None else timestamps.tolist(),
        strict=True,
    )


def _with_values(headers: Headers) -> list[tuple[str, bytes]]:
    return [(name, value or b"") for name, value in headers]
