"""The transactional sink over kafka-python: exactly once without librdkafka."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.errors import BrokerError, CommitError, DeliveryError
from stream.failpoints import reach
from stream.kafka.kafka_python.common import Contact, configuration, create, not_done
from stream.kafka.kafka_python.sink import MAX_UNACKNOWLEDGED, columns
from stream.kafka.sink import CLOSE_TIMEOUT_S, FULL_QUEUE_WAIT_S, MAX_RECORD_BYTES, RESET_TIMEOUT_S
from stream.kafka.transaction import Transaction


class KafkaPythonTransactionalSink:
    """A `TransactionalSink`; arguments as of `LibrdkafkaTransactionalSink`."""

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
                "transactional_id": transactional_id,
                "transaction_timeout_ms": int(timeout * 1000),
                "linger_ms": linger_ms,
                "compression_type": None if compression == "none" else compression,
                "batch_size": 131_072,
                "max_request_size": MAX_RECORD_BYTES,
                "max_block_ms": int(RESET_TIMEOUT_S * 1000),
                "metrics_enabled": False,
            },
        )
        self._id, self._timeout = transactional_id, timeout
        self._producer: KafkaProducer | None = None
        self._transaction = Transaction()
        self._sent: deque[tuple[str, FutureRecordMetadata]] = deque()  # topic and report

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        producer, topic, rows = self._begun(), outgoing.topic, list(columns(outgoing))
        try:
            for value, key, headers, partition, timestamp in rows:
                while len(self._sent) >= MAX_UNACKNOWLEDGED:
                    self._sent[0][1].get(timeout=self._timeout)
                    self._reap()
                report = producer.send(topic, value, key, headers, partition, timestamp)
                self._sent.append((topic, report))
        except (KafkaError, ValueError) as error:
            self._reap()
            raise not_done(error, f"writing {topic}", DeliveryError) from error
        self._reap()
        if on_acknowledged:
            self._transaction.on_committed(on_acknowledged)

    def service(self) -> None:
        if self._transaction.ended:
            self._finish()
        elif not self._transaction.ending:
            self._reap()

    def flush(self, timeout: float) -> None:
        self._finish()
        deadline = time.monotonic() + timeout
        while self._sent:
            if (left := deadline - time.monotonic()) <= 0:
                raise DeliveryError(f"{len(self._sent)} records are not acknowledged after {timeout:g} s")
            try:
                self._sent[0][1].get(timeout=min(left, FULL_QUEUE_WAIT_S))
            except KafkaTimeoutError:
                continue
            except KafkaError:
                pass  # `_reap` reports it
            self._reap()

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        self.send(last())
        reach("changelog_sent")
        producer, deadline = self._begun(), time.monotonic() + self._timeout
        where = {TopicPartition(topic, partition): OffsetAndMetadata(at) for partition, at in offsets.items()}
        manager = producer._transaction_manager  # the producer's own methods wait without bound

        def end() -> None:
            self._step(producer, deadline, lambda: manager.send_offsets_to_transaction(where, group))
            reach("offsets_sent")
            self._step(producer, deadline, manager.begin_commit)
            reach("committed")

        if on_committed:
            self._transaction.on_committed(on_committed)
        self._transaction.end(end, self._timeout + 1)

    def abort(self) -> None:
        self._finish()
        if self._producer is not None and self._transaction.open:
            manager, deadline = self._producer._transaction_manager, time.monotonic() + RESET_TIMEOUT_S
            self._step(self._producer, deadline, manager.begin_abort)
        self._transaction.give_up()
        self._sent.clear()

    def reset(self) -> None:
        self._drop()
        contact = Contact()
        producer = create(KafkaProducer, self._settings, contact)
        try:
            producer.init_transactions()
        except KafkaError as error:
            _end(producer)
            raise contact.translated(error, f"beginning transactions as {self._id}") from error
        self._producer = producer

    def close(self, *, flush: bool = True) -> None:
        """As `Sink.close`, but with or without `flush` the broker aborts what is not being committed."""
        self._drop()

    def _finish(self) -> None:
        """Wait for the transaction that is being ended, if any."""
        if not self._transaction.ending:
            return
        try:
            self._transaction.finish()
        except BrokerError:
            self._reap()  # a record that was not delivered says more
            raise
        self._sent.clear()

    def _begun(self) -> KafkaProducer:
        self._finish()
        if self._producer is None:
            raise DeliveryError("the sink is not open")
        try:
            self._transaction.begin(self._producer.begin_transaction)
        except KafkaError as error:
            raise not_done(error, f"beginning a transaction as {self._id}", DeliveryError) from error
        return self._producer

    def _step(self, producer: KafkaProducer, deadline: float, step: Callable[[], Any]) -> None:
        """One step of a commit, sent and answered."""
        try:
            result = step()
            producer._sender.wakeup()
            done = result.wait(timeout_ms=max(deadline - time.monotonic(), 0) * 1000)
        except KafkaError as error:
            raise not_done(error, f"committing the epoch as {self._id}", CommitError) from error
        if not done:
            raise CommitError(f"the epoch was not committed in {self._timeout:g} s")

    def _reap(self) -> None:
        """Take the reports that have come. Raises `DeliveryError` for one of a loss."""
        while self._sent and self._sent[0][1].is_done:
            topic, report = self._sent.popleft()
            if report.failed():
                raise not_done(report.exception, f"writing {topic}", DeliveryError)

    def _drop(self) -> None:
        try:
            self._transaction.give_up()
        finally:
            producer, self._producer = self._producer, None
            self._sent.clear()
            if producer is not None:
                _end(producer)


def _end(producer: KafkaProducer) -> None:
    producer._sender.force_close()  # it would wait for what is not acknowledged
    producer.close(timeout=CLOSE_TIMEOUT_S)
