"""The sink over librdkafka: the hot path.

One `produce` call a record: with positional arguments it costs less than building `produce_batch`'s
dictionaries, and takes timestamps and headers, which `produce_batch` does not. Every record carries its
report, because librdkafka tells of a failed record in no other way (`bench/clients.py` has the figures).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import repeat
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream._librdkafka import configuration, create, reason
from stream.connection import Connection
from stream.errors import DeliveryError
from stream.records import Outgoing

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 30.0
FULL_QUEUE_WAIT_S = 0.05
MAX_RECORD_BYTES = 4 * 1024 * 1024  # above the topic's own limit, which the broker enforces
ANY_PARTITION = -1
NOW = 0

Report = Callable[[KafkaError | None, Message], None]


class LibrdkafkaSink:
    """A `Sink`. A record fails after two minutes without acknowledgement (`delivery.timeout.ms`).

    The first failure ends the sink: every later `send`, `service` and `flush` raises it again, and
    nothing but `close` is left to do.
    """

    def __init__(self, connection: Connection, *, linger_ms: int = 5, compression: str = "lz4") -> None:
        settings = configuration(
            connection,
            {
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "compression.type": compression,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": 120_000,
                "queue.buffering.max.messages": 100_000,
                "message.max.bytes": MAX_RECORD_BYTES,
                "error_cb": self._on_error,
            },
        )
        self._producer: Producer | None = create(Producer, settings, logger=log)
        self._failure: DeliveryError | None = None

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        producer = self._open()
        report = self._reporter(outgoing, on_acknowledged)
        produce, topic = producer.produce, outgoing.topic
        try:
            for value, key, partition, timestamp, headers in _rows(outgoing):
                try:
                    produce(topic, value, key, partition, report, None, timestamp, headers)
                except BufferError:
                    record = (topic, value, key, partition, report, None, timestamp, headers)
                    self._produce_when_there_is_room(producer, record)
        except KafkaException as error:
            self._fail(topic, reason(error))
        producer.poll(0)
        self._raise_failure()

    def service(self) -> None:
        self._open().poll(0)
        self._raise_failure()

    def flush(self, timeout: float) -> None:
        left = self._open().flush(timeout)
        self._raise_failure()
        if left:
            raise DeliveryError(f"{left} records are not acknowledged after {timeout:g} s")

    def close(self) -> None:
        """As `Sink.close`. Raises `DeliveryError` where records stay undelivered that no call told of."""
        producer = self._producer
        if producer is None:
            return
        try:
            if self._failure is None:
                self.flush(CLOSE_TIMEOUT_S)
        finally:
            self._producer = None
            producer.purge()
            producer.close()

    def unacknowledged(self) -> int:
        """Records sent and neither acknowledged nor failed."""
        return len(self._open())

    def _open(self) -> Producer:
        if self._producer is None:
            raise DeliveryError("the sink is closed")
        self._raise_failure()
        return self._producer

    def _reporter(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None) -> Report:
        topic, waiting = outgoing.topic, len(outgoing)
        if not waiting and on_acknowledged:
            on_acknowledged()

        def report(error: KafkaError | None, _: Message) -> None:
            nonlocal waiting
            if error is not None:
                self._fail(topic, error)
                return
            waiting -= 1
            if not waiting and on_acknowledged:
                on_acknowledged()

        return report

    def _produce_when_there_is_room(self, producer: Producer, record: tuple[Any, ...]) -> None:
        while self._failure is None:
            producer.poll(FULL_QUEUE_WAIT_S)
            with suppress(BufferError):
                producer.produce(*record)
                return

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fail("the producer", error)

    def _fail(self, what: str, error: KafkaError) -> None:
        if self._failure is None:
            self._failure = DeliveryError(f"{what}: a record was not delivered: {error.str()}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _rows(outgoing: Outgoing) -> Iterable[tuple[Any, ...]]:
    """Value, key, partition, timestamp and headers of each record, as `Producer.produce` wants them."""
    partitions, timestamps, headers = outgoing.partitions, outgoing.timestamps, outgoing.headers
    rows = len(outgoing)
    return zip(
        outgoing.values,
        outgoing.keys,
        repeat(ANY_PARTITION, rows) if partitions is None else partitions.tolist(),
        repeat(NOW, rows) if timestamps is None else timestamps.tolist(),
        repeat(None, rows) if headers is None else headers,
        strict=True,
    )
