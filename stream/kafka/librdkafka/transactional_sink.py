"""The transactional sink over librdkafka: exactly once, the hot path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.errors import BrokerError, CommitError, DeliveryError, EpochError, RefusalError
from stream.failpoints import reach
from stream.kafka.librdkafka.common import Contact, close_quietly, create, not_done, reason
from stream.kafka.librdkafka.sink import columns, producer_settings
from stream.kafka.sink import FULL_QUEUE_WAIT_S, RESET_TIMEOUT_S
from stream.kafka.transaction import Transaction

MAX_QUEUED = 500_000
RETRY_S = 0.05
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
        self._id, self._timeout = transactional_id, timeout
        self._producer: Producer | None = None
        self._transaction = Transaction()
        self._lost: BrokerError | None = None
        self._undelivered = False  # some record of the transaction, perhaps for the failure of another
        self._topics: dict[str, None] = {}

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
        if self._undelivered:  # the transaction has failed, and says why when it is asked to end
            with self._as_delivery_error(self._producer):
                self._producer.commit_transaction(timeout)
        if self._lost is not None:
            raise self._lost
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
        """As `TransactionalSink.commit`. The offsets travel while the last records are made:

        caller   end() begun ── last() made and sent ── complete ── back in the loop
        thread       └─ offsets sent ───────── waits for ┘ └─ commit ─ acknowledged
        """
        producer, deadline = self._begun(), time.monotonic() + self._timeout
        next_offsets = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        complete: SimpleQueue[bool] = SimpleQueue()

        def end() -> None:
            self._until(
                deadline,
                producer,
                lambda left: producer.send_offsets_to_transaction(next_offsets, group, left),
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

    def abort(self) -> None:
        self._transaction.finish()
        if self._producer is not None and self._transaction.open:
            with self._as_delivery_error(self._producer):
                self._producer.abort_transaction(RESET_TIMEOUT_S)
        self._transaction.give_up()

    def reset(self) -> None:
        self._drop()
        contact = Contact()
        producer = create(Producer, self._settings | {"error_cb": contact})
        try:
            producer.init_transactions(RESET_TIMEOUT_S)
        except KafkaException as error:
            with suppress(KafkaException, SystemError):
                producer.poll(0)  # what is known of the connections
            close_quietly(producer)
            raise contact.translated(reason(error), f"beginning transactions as {self._id}") from error
        self._producer, self._lost, self._undelivered = producer, None, False

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
            close_quietly(producer)

    def _produce(self, producer: Producer, outgoing: Outgoing) -> None:
        produce, topic = producer.produce, outgoing.topic
        self._topics[topic] = None
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
            raise self._failure(producer, error, f"writing {topic}", DeliveryError) from error

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
                again = isinstance(error, KafkaException) and reason(error).retriable()
                if again and time.monotonic() < deadline:
                    time.sleep(RETRY_S)
                    continue
                raise self._failure(producer, error, self._committing(), CommitError) from error

    @contextmanager
    def _as_delivery_error(self, producer: Producer) -> Iterator[None]:
        """Translates what librdkafka raises."""
        try:
            yield
        except (KafkaException, SystemError) as error:
            raise self._failure(producer, error, self._committing(), DeliveryError) from error

    def _lose(self, error: KafkaError, record: Message) -> None:
        self._undelivered = True
        if error.code() not in PURGED:
            self._lost = self._lost or not_done(error, f"writing {record.topic()}", DeliveryError)

    def _failure(
        self, producer: Producer, error: BaseException, doing: str, kind: type[EpochError]
    ) -> BrokerError:
        """If a record is not delivered, later calls only report that the transaction failed; the delivery
        report that names the record may arrive later. confluent-kafka leaves a `SystemError` if one ran after
        a fatal error."""
        with suppress(KafkaException, SystemError):
            producer.poll(RETRY_S)
        if isinstance(self._lost, RefusalError):
            return self._lost
        cause = error if isinstance(error, KafkaException) else error.__cause__
        if not isinstance(cause, KafkaException):
            return kind(f"{doing}: {self._lost or type(error).__name__}")
        failure = not_done(reason(cause), doing, kind)
        return (
            failure
            if isinstance(failure, RefusalError) or self._lost is None
            else kind(f"{doing}: {self._lost}")
        )

    def _committing(self) -> str:
        """What is being done, with the names of all that may be refused."""
        return f"committing the epoch as {self._id} ({', '.join(self._topics)})"
