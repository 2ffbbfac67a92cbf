"""The transactional sink over librdkafka: exactly once, the hot path."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream._librdkafka import configuration, create, reason, translated
from stream.connection import Connection
from stream.errors import BrokerError, BrokerUnavailable, CommitError, DeliveryError
from stream.failpoints import reach
from stream.publish._ending import Ending
from stream.publish.sink import FULL_QUEUE_WAIT_S, MAX_RECORD_BYTES, RESET_TIMEOUT_S
from stream.records import Outgoing

log = logging.getLogger(__name__)
log.addFilter(lambda record: "property and will be ignored" not in record.getMessage())  # of a consumer

ANY_PARTITION = -1
NOW = 0
RETRY_S = 0.05
NOT_ALLOWED = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
}


class LibrdkafkaTransactionalSink:
    """A `TransactionalSink`. timeout: seconds after which the broker aborts a transaction that is not ended
    (`transaction.timeout.ms`); also how long `commit` waits."""

    def __init__(
        self,
        connection: Connection,
        *,
        transactional_id: str,
        timeout: float,
        linger_ms: int = 5,
        compression: str = "lz4",
    ) -> None:
        self._settings = configuration(
            connection,
            {
                "linger.ms": linger_ms,
                "compression.type": compression,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 500_000,
                "message.max.bytes": MAX_RECORD_BYTES,
            },
        )
        self._settings |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(timeout * 1000),
        }
        self._timeout = timeout
        self._producer: Producer | None = None
        self._open = self._stuck = False
        self._ending: Ending | None = None
        self._acknowledged: list[Callable[[], None]] = []

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        producer = self._begun()
        produce, topic = producer.produce, outgoing.topic
        rows, partitions, timestamps = len(outgoing), outgoing.partitions, outgoing.timestamps
        records: Iterable[tuple[Any, ...]] = zip(
            outgoing.values,
            outgoing.keys,
            repeat(ANY_PARTITION, rows) if partitions is None else partitions.tolist(),
            repeat(NOW, rows) if timestamps is None else timestamps.tolist(),
            repeat(None, rows) if outgoing.headers is None else outgoing.headers,
            strict=True,
        )
        try:
            for value, key, partition, timestamp, headers in records:
                try:
                    produce(topic, value, key, partition, None, None, timestamp, headers)
                except BufferError:
                    self._produce_when_there_is_room(
                        producer, (topic, value, key, partition, None, None, timestamp, headers)
                    )
            producer.poll(0)
        except (KafkaException, SystemError) as error:
            raise DeliveryError(f"{topic}: a record was not taken: {_text(error)}") from None
        if on_acknowledged:
            self._acknowledged.append(on_acknowledged)

    def service(self) -> None:
        if self._ending is not None:
            if not self._ending.is_alive():
                self._finish()
        elif self._producer is not None:
            with _as_delivery_error():
                self._producer.poll(0)

    def flush(self, timeout: float) -> None:
        self._finish()
        if self._producer is None:
            return
        with _as_delivery_error():
            left = self._producer.flush(timeout)
        if left:
            raise DeliveryError(f"{left} records are not acknowledged after {timeout:g} s")

    def commit(self, topic: str, offsets: Mapping[int, int], group: Any) -> None:
        producer, deadline = self._begun(), time.monotonic() + self._timeout
        where = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]

        def end() -> None:
            self._until(deadline, lambda left: producer.send_offsets_to_transaction(where, group, left))
            reach("offsets_sent")
            self._until(deadline, producer.commit_transaction)
            reach("committed")

        self._ending = Ending(end, self._timeout + 1)

    def reset(self) -> None:
        self._drop()
        producer = create(Producer, self._settings, logger=log)
        try:
            producer.init_transactions(RESET_TIMEOUT_S)
        except KafkaException as error:
            producer.close()
            cause = reason(error)
            if cause.code() in NOT_ALLOWED:
                raise translated(cause, "beginning transactions") from None
            raise BrokerUnavailable(f"beginning transactions: {cause.str()}") from None
        self._producer = producer

    def close(self) -> None:
        """As `Sink.close`; what is not being committed is aborted."""
        with suppress(BrokerError):
            self._finish()
        if self._producer is not None and self._open and not self._stuck:
            with suppress(KafkaException, SystemError):
                self._producer.abort_transaction(RESET_TIMEOUT_S)
        self._drop()

    def _finish(self) -> None:
        """Wait for the transaction that is being ended, if any."""
        ending, self._ending = self._ending, None
        if ending is None:
            return
        try:
            ending.result()
        finally:
            self._stuck = ending.is_alive()
        self._open = False
        acknowledged, self._acknowledged = self._acknowledged, []
        for call in acknowledged:
            call()

    def _begun(self) -> Producer:
        self._finish()
        if self._producer is None:
            raise DeliveryError("the sink is not open")
        if not self._open:
            with _as_delivery_error():
                self._producer.begin_transaction()
            self._open = True
        return self._producer

    def _drop(self) -> None:
        with suppress(BrokerError):
            self._finish()
        producer, self._producer = self._producer, None
        self._open, self._acknowledged = False, []
        stuck, self._stuck = self._stuck, False
        if stuck:
            return  # in use by a call that may never return; the next producer fences it
        if producer is not None:
            for end in (producer.purge, producer.close):
                with suppress(KafkaException, SystemError):  # it tells once more why it failed
                    end()

    def _produce_when_there_is_room(self, producer: Producer, record: tuple[Any, ...]) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            producer.poll(FULL_QUEUE_WAIT_S)
            with suppress(BufferError):
                producer.produce(*record)
                return
        raise DeliveryError(f"the producer's queue is full since {self._timeout:g} s")

    def _until(self, deadline: float, step: Callable[[float], None]) -> None:
        """One step of a commit, tried again as long as librdkafka says that it may be."""
        while True:
            try:
                step(max(deadline - time.monotonic(), RETRY_S))
                return
            except (KafkaException, SystemError) as error:
                if isinstance(error, KafkaException):
                    cause = reason(error)
                    if cause.code() in NOT_ALLOWED:
                        raise translated(cause, "committing") from None
                    if cause.retriable() and time.monotonic() < deadline:
                        time.sleep(RETRY_S)
                        continue
                raise CommitError(f"the epoch was not committed: {_text(error)}") from None


@contextmanager
def _as_delivery_error() -> Iterator[None]:
    """Translates what librdkafka raises."""
    try:
        yield
    except (KafkaException, SystemError) as error:
        raise DeliveryError(f"the producer: {_text(error)}") from None


def _text(error: BaseException) -> str:
    """confluent-kafka leaves a `SystemError` where a report ran after a fatal error."""
    cause = error if isinstance(error, KafkaException) else error.__cause__
    return reason(cause).str() if isinstance(cause, KafkaException) else str(error)
