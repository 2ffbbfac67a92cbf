"""The broker that the tests share. In CI there has to be one; elsewhere its tests skip without one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest

with warnings.catch_warnings():  # kafka-python reads its schemas in a way that Python 3.11 calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import stream.kafka.kafka_python.source  # noqa: F401

from stream.connection import Connection
from stream.kafka.admin import TopicSpec
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from tests.broker.server import NoBroker, any_broker
from tests.support.examples import register_profiles

MakeTopic = Callable[..., str]
BROKER = pytest.StashKey[str]()

register_profiles()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka."""
    broker = any_broker(tmp_path_factory.mktemp("kafka"))
    try:
        servers, name = broker.__enter__()
    except NoBroker as error:
        request.config.stash[BROKER] = f"none: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"no Kafka broker: {error}")
        pytest.skip(f"no Kafka broker: {error}")
    request.config.stash[BROKER] = name
    yield servers
    broker.__exit__(None, None, None)


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def make_topic(kafka: str) -> Iterator[MakeTopic]:
    """Makes a new topic on the real Kafka: `make_topic(partitions=4, config={}, name="…")` gives its name."""
    numbers = count()
    with closing(LibrdkafkaAdmin(Connection(kafka))) as admin:

        def make(partitions: int = 4, config: dict[str, str] | None = None, name: str | None = None) -> str:
            name = name or f"test-{os.getpid()}-{next(numbers)}"
            spec = TopicSpec(name, partitions, config=config or {})
            admin.create([spec])
            return spec.name

        yield make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if (broker := config.stash.get(BROKER, None)) is not None:
        terminalreporter.write_line(f"Kafka of the broker tests: {broker}")
