"""An independent look at Kafka, committed records only: one reader per client, nothing of `stream`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place
from kafka import KafkaConsumer, TopicPartition

PATIENCE_S = 60.0


class Row(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


Read = Callable[[str, str], Iterator[Row]]


def with_librdkafka(servers: str, topic: str) -> Iterator[Row]:
    """Every committed record; those of one partition in order."""
    settings = {
        "bootstrap.servers": servers,
        "group.id": "chaos-verifier",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 10,
    }
    with closing(Consumer(settings)) as consumer:
        left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([Place(topic, partition, OFFSET_BEGINNING) for partition in left])
        deadline = time.monotonic() + PATIENCE_S
        while left:
            messages = consumer.consume(10_000, 1.0)
            assert messages or time.monotonic() < deadline, f"{topic}: its end does not come"
            if messages:
                deadline = time.monotonic() + PATIENCE_S
            for message in messages:
                partition = message.partition() or 0
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(partition)
                    continue
                headers = {name: value or b"" for name, value in message.headers() or []}
                yield Row(partition, message.offset() or 0, message.key(), message.value(), headers)


def with_kafka_python(servers: str, topic: str) -> Iterator[Row]:
    """Every committed record; those of one partition in order."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_poll_records=10_000,
    )
    with closing(consumer):
        places = [TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        deadline = time.monotonic() + PATIENCE_S
        while any(consumer.position(place) < ends[place] for place in places):
            polled = consumer.poll(timeout_ms=500)
            assert polled or time.monotonic() < deadline, f"{topic}: its end does not come"
            if polled:
                deadline = time.monotonic() + PATIENCE_S
            for rows in polled.values():
                for row in rows:
                    yield Row(row.partition, row.offset, row.key, row.value, dict(row.headers))


OTHER: dict[str, Read] = {"librdkafka": with_kafka_python, "kafka-python": with_librdkafka}
"""The reader that judges a worker of this client: the other client's."""


def ends(servers: str, topic: str, isolation: str) -> dict[int, int]:
    """Of each partition: the high watermark (`read_uncommitted`), or the last stable offset. Asks again
    while brokers come and go."""
    settings = {
        "bootstrap.servers": servers,
        "group.id": "chaos-ends",
        "isolation.level": isolation,
        "log_level": 0,
    }
    deadline = time.monotonic() + PATIENCE_S
    with closing(Consumer(settings)) as consumer:
        while True:
            try:
                return _ends(consumer, topic)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    return {one: consumer.get_watermark_offsets(Place(topic, one), timeout=10)[1] for one in partitions}


def settle(servers: str, topics: list[str], seconds: float = PATIENCE_S) -> None:
    """Wait until no transaction is open in any of `topics`: what a killed worker began is aborted."""
    deadline = time.monotonic() + seconds
    for topic in topics:
        while ends(servers, topic, "read_committed") != ends(servers, topic, "read_uncommitted"):
            assert time.monotonic() < deadline, f"{topic}: a transaction stays open"
            time.sleep(0.5)
