"""A Kafka broker inside the process, with nothing to install: librdkafka's mock cluster on loopback."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer

from stream.kafka.librdkafka.common import reason, translated

PARTITIONS = 4
TIMEOUT_S = 10.0
EMERGENCIES_ONLY = 0


class EmbeddedBroker:
    """Speaks the Kafka protocol until it is closed: consumer groups, offsets, an idempotent producer.

    It is for demonstrations and for tests that need no Kafka guarantee. It keeps records in memory, the
    latest 10,000 batches or 10 MB of a partition, and forgets them when closed; checks neither
    sequence numbers nor transactions as a broker does; knows no replicas, retention, compaction or
    security, and no administration: a topic comes into being when a producer first names it, or by
    `create`, and always has `PARTITIONS` partitions. kafka-python needs the version
    (`overrides={"api_version": "2.3"}`), and can hang when it joins or leaves a group here.
    """

    def __init__(self, partitions: int = PARTITIONS) -> None:
        if partitions != PARTITIONS:
            raise ValueError(f"the embedded broker makes topics of {PARTITIONS} partitions")
        self._cluster: Producer | None = Producer(
            {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": EMERGENCIES_ONLY}
        )
        brokers = self._cluster.list_topics(timeout=TIMEOUT_S).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create(self, *topics: str) -> None:
        """Make sure that these topics exist. Raises `BrokerError`."""
        if self._cluster is None:
            raise ValueError("the embedded broker is closed")
        try:
            for topic in topics:
                self._cluster.list_topics(topic, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise translated(reason(error), "creating a topic") from error

    def close(self) -> None:
        """End the broker; clients that are still open lose it. Repeatable."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
