"""Offset commits of a consumer, which librdkafka lets wait without bound. For `at_least_once` only: with
`exactly_once` the transaction commits the offsets (`transactional_sink.py`)."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.background import COMMIT, spawn
from stream.kafka.librdkafka.common import reason

COMMIT_TIMEOUT_S = 10.0
MAY_PASS = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


class Commits:
    """librdkafka's commit waits without bound while a rebalance hangs until this member has polled. So it
    waits on a thread of its own, one at a time, and the caller no longer than `COMMIT_TIMEOUT_S`."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._pending: Future[KafkaError | None] | None = None

    def commit(self, offsets: list[TopicPartition], *, at_once: bool) -> KafkaError | None:
        """Commit and wait; why it was refused, None if it was not. at_once: on this thread. Inside a
        rebalance callback only the polling thread's commit is answered, and at once."""
        if at_once:
            return _committed(self._consumer, offsets)
        try:
            if self._pending is not None:
                self._pending.result(COMMIT_TIMEOUT_S)
            self._pending = spawn(COMMIT, partial(_committed, self._consumer, offsets))
            return self._pending.result(COMMIT_TIMEOUT_S)
        except TimeoutError:
            return KafkaError(KafkaError._TIMED_OUT, f"no answer in {COMMIT_TIMEOUT_S:g} s")


def _committed(consumer: Consumer, offsets: list[TopicPartition]) -> KafkaError | None:
    try:
        done = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        return reason(error)
    return next((partition.error for partition in done if partition.error is not None), None)
