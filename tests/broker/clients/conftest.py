"""Each source and sink, on each broker that it can run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from stream.connection import Connection
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.kafka_python.sink import KafkaPythonSink
from stream.kafka.kafka_python.source import KafkaPythonSource
from stream.kafka.kafka_python.transactional_sink import KafkaPythonTransactionalSink
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.kafka.librdkafka.source import LibrdkafkaSource
from stream.kafka.librdkafka.transactional_sink import LibrdkafkaTransactionalSink
from stream.kafka.sink import Sink, TransactionalSink
from stream.kafka.source import Source

LIBRDKAFKA = (LibrdkafkaSource, LibrdkafkaSink)
KAFKA_PYTHON = (KafkaPythonSource, KafkaPythonSink)
CLIENTS = {"librdkafka": LIBRDKAFKA, "kafka-python": KAFKA_PYTHON}
TRANSACTIONAL = {"librdkafka": LibrdkafkaTransactionalSink, "kafka-python": KafkaPythonTransactionalSink}
numbers = count()


@dataclass
class Clients:
    """One client library on one broker. What it makes is closed after the test."""

    name: str
    servers: str
    new_topic: Callable[[], str]
    stages: ExitStack
    overrides: dict[str, str] = field(default_factory=dict)

    def connection(self, **overrides: str) -> Connection:
        return Connection(self.servers, overrides=self.overrides | overrides)

    def source(
        self, group: str | None = None, overrides: dict[str, str] | None = None, **settings: Any
    ) -> Source:
        kind = CLIENTS[self.name][0]
        return self.stages.enter_context(closing(kind(self.connection(**overrides or {}), group, **settings)))

    def sink(self, overrides: dict[str, str] | None = None, **settings: Any) -> Sink:
        kind = CLIENTS[self.name][1]
        return self.stages.enter_context(closing(kind(self.connection(**overrides or {}), **settings)))

    def transactions(self, transactional_id: str, timeout: float = 10.0) -> TransactionalSink:
        kind = TRANSACTIONAL[self.name]
        made = kind(self.connection(), transactional_id=transactional_id, timeout=timeout)
        return self.stages.enter_context(closing(made))

    def by_client(self, *, librdkafka: dict[str, str], kafka_python: dict[str, str]) -> dict[str, str]:
        return librdkafka if self.name == "librdkafka" else kafka_python


@pytest.fixture(params=CLIENTS)
def on_kafka(request: pytest.FixtureRequest, kafka: str, make_topic: Callable[[], str]) -> Iterator[Clients]:
    """Each client on the real Kafka."""
    with ExitStack() as stages:
        yield Clients(request.param, kafka, make_topic, stages)


EVERYWHERE = [f"{client} {broker}" for broker in ("kafka", "embedded") for client in CLIENTS]


@pytest.fixture(params=EVERYWHERE)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Each client on each broker."""
    yield from _on_its_broker(request)


@pytest.fixture(params=[one for one in EVERYWHERE if one != "kafka-python embedded"])
def members(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """As `clients`, for consumer groups. kafka-python can hang in those of the embedded broker."""
    yield from _on_its_broker(request)


def _on_its_broker(request: pytest.FixtureRequest) -> Iterator[Clients]:
    name, broker = request.param.split()
    with ExitStack() as stages:
        if broker == "kafka":
            kafka = request.getfixturevalue("kafka")
            yield Clients(name, kafka, request.getfixturevalue("make_topic"), stages)
        else:
            yield embedded_clients(name, request.getfixturevalue("embedded"), stages)


def embedded_clients(name: str, broker: EmbeddedBroker, stages: ExitStack) -> Clients:
    def new_topic() -> str:
        topic = f"test-{next(numbers)}"
        broker.create(topic)
        return topic

    overrides = {"api_version": "2.3"} if name == "kafka-python" else {}
    return Clients(name, broker.bootstrap_servers, new_topic, stages, overrides)
