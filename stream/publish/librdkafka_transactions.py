"""The transactional sink over librdkafka: exactly once, the hot path."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from stream._librdkafka import create, reason, translated
from stream.connection import Connection
from stream.errors import BrokerError, BrokerUnavailable, CommitError, DeliveryError
from stream.failpoints import reach
from stream.publish._transaction import Transaction
from stream.publish.librdkafka import columns, producer_settings
from stream.publish.sink import FULL_QUEUE_WAIT_S, RESET_TIMEOUT_S
from stream.records import Outgoing

log = logging.getLogger(__name__)
log.addFilter(lambda record: "property and will be ignored" not in record.getMessage())  # of a consumer

MAX_QUEUED = 500_000
RETRY_S = 0.05
NOT_ALLOWED = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
}
PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}  # for another's failure


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
        self._settings = producer_settings(connection, linger_ms, compression, MAX_QUEUED) | {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(timeout * 1000),
            "delivery.report.only.error": True,
            "on_delivery": self._lose,
        }
        self._timeout = timeout
        self._producer: Producer | None = None
        self._transaction = Transaction()
        self._lost: str | None = None

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._produce(self._begun(), outgoing)
        if on_acknowledged:
            self._transaction.on_committed(on_acknowledged)

    def service(self) -> None:
        if self._transaction.ended:
            self._transaction.finish()
        elif self._producer is not None and not self._transaction.ending:
            with self._as_delivery_error(self._producer):
                self._producer.poll(0)

    def flush(self, timeout: float) -> None:
        self._transaction.finish()
        if self._producer is None:
            return
        with self._as_delivery_error(self._producer):
            left = self._producer.flush(timeout)
        if left:
            raise DeliveryError(f"{left} records are not acknowledged after {timeout:g} s")

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        producer, deadline = self._begun(), time.monotonic() + self._timeout
        where = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        complete: SimpleQueue[bool] = SimpleQueue()

        def end() -> None:
            self._until(
                deadline, producer, lambda left: producer.send_offsets_to_transaction(where, group, left)
            )
            reach("offsets_sent")
            if not complete.get():
                raise CommitError("the epoch's last records were not sent")
            self._until(deadline, producer, producer.commit_transaction)
            reach("committed")

        if on_committed:
            self._transaction.on_committed(on_committed)
        self._transaction.end(end, self._timeout + 1)
        sent = False
        try:
            self._produce(producer, last())
            reach("changelog_sent")
            sent = True
        finally:
            complete.put(sent)

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
        self._producer, self._lost = producer, None

    def close(self, *, flush: bool = True) -> None:
        """As `Sink.close`; what is not being committed is aborted, whether `flush` or not."""
        try:
            with suppress(BrokerError):
                self._transaction.finish()
        finally:
            if self._producer is not None and self._transaction.open and not self._transaction.stuck:
                with suppress(KafkaException, SystemError):
                    self._producer.abort_transaction(RESET_TIMEOUT_S)
            self._drop()

    def _begun(self) -> Producer:
        self._transaction.finish()
        if self._producer is None:
            raise DeliveryError("the sink is not open")
        with self._as_delivery_error(self._producer):
            self._transaction.begin(self._producer.begin_transaction)
        return self._producer

    def _drop(self) -> None:
        self._transaction.give_up()
        stuck, self._transaction.stuck = self._transaction.stuck, False
        producer, self._producer = self._producer, None
        if stuck:
            return  # in use by a call that may never return; the next producer fences it
        if producer is not None:
            for end in (producer.purge, producer.close):
                with suppress(KafkaException, SystemError):  # it tells once more why it failed
                    end()

    def _produce(self, producer: Producer, outgoing: Outgoing) -> None:
        produce, topic = producer.produce, outgoing.topic
        try:
            for value, key, partition, timestamp, headers in zip(*columns(outgoing), strict=True):
                try:
                    produce(topic, value, key, partition, None, None, timestamp, headers)
                except BufferError:
                    self._produce_when_there_is_room(
                        producer, (topic, value, key, partition, None, None, timestamp, headers)
                    )
            producer.poll(0)
        except (KafkaException, SystemError) as error:
            raise DeliveryError(f"{topic}: a record was not taken: {self._why(producer, error)}") from None

    def _produce_when_there_is_room(self, producer: Producer, record: tuple[Any, ...]) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            producer.poll(FULL_QUEUE_WAIT_S)
            with suppress(BufferError):
                producer.produce(*record)
                return
        raise DeliveryError(f"the producer's queue is full since {self._timeout:g} s")

    def _until(self, deadline: float, producer: Producer, step: Callable[[float], None]) -> None:
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
                raise CommitError(f"the epoch was not committed: {self._why(producer, error)}") from None

    @contextmanager
    def _as_delivery_error(self, producer: Producer) -> Iterator[None]:
        """Translates what librdkafka raises."""
        try:
            yield
        except (KafkaException, SystemError) as error:
            raise DeliveryError(f"the producer: {self._why(producer, error)}") from None

    def _lose(self, error: KafkaError, record: Message) -> None:
        if error.code() not in PURGED:
            self._lost = self._lost or f"{record.topic()}: a record was not delivered: {error.str()}"

    def _why(self, producer: Producer, error: BaseException) -> str:
        """A record that was not delivered fails its transaction: later calls tell only the state, and the
        report may be on its way. confluent-kafka leaves a `SystemError` where one ran after a fatal error."""
        with suppress(KafkaException, SystemError):
            producer.poll(RETRY_S)
        cause = error if isinstance(error, KafkaException) else error.__cause__
        return self._lost or (reason(cause).str() if isinstance(cause, KafkaException) else str(error))
