"""The sink over librdkafka: the hot path.

One `produce` call a record, with positional arguments: `produce_batch` takes no timestamps and drops headers.
If the partitions are given, only the last record of each partition carries a report: a partition's records
are acknowledged in order, and `enable.gapless.guarantee` makes the loss of any of them fatal to the producer.
A report a record would cost as much again as producing it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.errors import BrokerError, DeliveryError
from stream.kafka.librdkafka.common import Contact, close_quietly, configuration, create, not_done, reason
from stream.kafka.sink import CLOSE_TIMEOUT_S, FULL_QUEUE_WAIT_S, MAX_RECORD_BYTES

DELIVERY_TIMEOUT_MS = 120_000
TIMEOUTS = ("message.timeout.ms", "delivery.timeout.ms")  # one property, two names
GAPLESS = {"enable.idempotence": True, "enable.gapless.guarantee": True, "delivery.timeout.ms": 0}
MAX_QUEUED = 100_000
ANY_PARTITION = -1
NOW = 0

Report = Callable[[KafkaError | None, Message], None]


class LibrdkafkaSink:
    """A `Sink`. It fails when a record is not acknowledged in `delivery.timeout.ms` (two minutes).

    That one is kept here: librdkafka would drop the record and continue, a gap that no report shows.
    For the same reason an override does not reach the settings in `GAPLESS`.

    The first failure ends the sink: every later `send`, `service` and `flush` raises it again, and
    nothing but `reset` and `close` is left to do.
    """

    def __init__(self, connection: Connection, *, linger_ms: int = 5, compression: str = "lz4") -> None:
        settings = producer_settings(connection, linger_ms, compression, MAX_QUEUED)
        patience_ms = [settings.pop(name) for name in TIMEOUTS if name in settings] or [DELIVERY_TIMEOUT_MS]
        self._patience_s = float(patience_ms[-1]) / 1000
        self._settings = settings | GAPLESS
        self._begin()

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        producer = self._open()
        produce, topic = producer.produce, outgoing.topic
        try:
            for value, key, partition, timestamp, headers, report in self._rows(outgoing, on_acknowledged):
                try:
                    produce(topic, value, key, partition, report, None, timestamp, headers)
                except BufferError:
                    record = (topic, value, key, partition, report, None, timestamp, headers)
                    self._produce_when_there_is_room(producer, record)
        except KafkaException as error:
            self._fail(f"writing {topic}", reason(error))
        self._serve(producer.poll, 0)
        self._check_delivery()
        self._raise_failure()

    def service(self) -> None:
        self._serve(self._open().poll, 0)
        self._check_delivery()
        self._raise_failure()

    def flush(self, timeout: float) -> None:
        flush, deadline, remaining = self._open().flush, time.monotonic() + timeout, timeout
        # In slices: after a failure librdkafka's flush would wait for what is never acknowledged.
        while left := self._serve(flush, min(remaining, FULL_QUEUE_WAIT_S)):
            self._raise_failure()
            if (remaining := deadline - time.monotonic()) <= 0:
                raise DeliveryError(f"{left} records are not acknowledged after {timeout:g} s")
        self._raise_failure()

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
        """Records sent and neither acknowledged nor failed."""
        return len(self._open())

    def _begin(self) -> None:
        self._contact = Contact()
        settings = self._settings | {"error_cb": self._contact}
        self._producer: Producer | None = create(Producer, settings)
        self._failure: BrokerError | None = None
        self._sent: deque[_Sent] = deque()

    def _release(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_quietly(producer)

    def _open(self) -> Producer:
        if self._producer is None:
            raise DeliveryError("the sink is closed")
        self._raise_failure()
        return self._producer

    def _rows(
        self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None
    ) -> Iterable[tuple[Any, ...]]:
        """What `Producer.produce` wants of each record, and its report, if it carries one."""
        rows, marked = len(outgoing), _reported(outgoing)
        sent = _Sent(len(marked), time.monotonic())
        if marked:
            self._sent.append(sent)
        elif on_acknowledged:
            on_acknowledged()

        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._fail(f"writing {outgoing.topic}", error)
                return
            sent.waiting -= 1
            if not sent.waiting and on_acknowledged:
                on_acknowledged()

        reports: list[Report | None] = [None] * rows
        for row in marked:
            reports[row] = report
        return zip(*columns(outgoing), reports, strict=True)

    def _produce_when_there_is_room(self, producer: Producer, record: tuple[Any, ...]) -> None:
        while self._failure is None:
            self._serve(producer.poll, FULL_QUEUE_WAIT_S)
            self._check_delivery()
            with suppress(BufferError):
                producer.produce(*record)
                return

    def _serve(self, call: Callable[[float], int], timeout: float) -> int:
        """Run the reports that have come. confluent-kafka raises a fatal error out of the call itself; if
        a report ran after it, that report has taken the exception, and a `SystemError` is left."""
        try:
            return call(timeout)
        except (KafkaException, SystemError) as error:
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if isinstance(cause, KafkaException):
                self._fail("writing", reason(cause))
            elif self._failure is None:
                raise
            return 0

    def _fail(self, doing: str, error: KafkaError) -> None:
        if self._failure is None:
            self._failure = not_done(error, doing, DeliveryError)

    def _check_delivery(self) -> None:
        while self._sent and not self._sent[0].waiting:
            self._sent.popleft()
        if self._failure is None and self._sent and time.monotonic() - self._sent[0].since > self._patience_s:
            self._failure = DeliveryError(f"records are not acknowledged after {self._patience_s:g} s")

    def _raise_failure(self) -> None:
        self._contact.check()
        if self._failure is not None:
            raise self._failure


@dataclass(slots=True)
class _Sent:
    """waiting: reports that have not come. since: when it was sent, `time.monotonic`."""

    waiting: int
    since: float


def producer_settings(
    connection: Connection, linger_ms: int, compression: str, max_queued: int
) -> dict[str, Any]:
    """What both sinks ask of a producer. max_queued: records, beyond which `produce` is refused."""
    return configuration(
        connection,
        {
            "linger.ms": linger_ms,
            "compression.type": compression,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": max_queued,
            "message.max.bytes": MAX_RECORD_BYTES,
        },
    )


def columns(outgoing: Outgoing) -> tuple[Iterable[Any], ...]:
    """Values, keys, partitions, timestamps and headers, as `Producer.produce` wants them."""
    rows = len(outgoing)
    partitions, timestamps, headers = outgoing.partitions, outgoing.timestamps, outgoing.headers
    return (
        outgoing.values,
        outgoing.keys,
        repeat(ANY_PARTITION, rows) if partitions is None else partitions.tolist(),
        repeat(NOW, rows) if timestamps is None else timestamps.tolist(),
        repeat(None, rows) if headers is None else headers,
    )


def _reported(outgoing: Outgoing) -> list[int]:
    """Rows that carry a report: the last of each partition; all, if the key decides the partition."""
    if outgoing.partitions is None:
        return list(range(len(outgoing)))
    _, from_the_end = np.unique(outgoing.partitions[::-1], return_index=True)
    return [len(outgoing) - 1 - row for row in from_the_end.tolist()]
