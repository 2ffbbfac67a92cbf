"""A broker that dies and comes back: nothing is lost, nothing doubled, nothing acknowledged in vain."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.errors import BrokerUnavailable, DeliveryError
from stream.kafka.admin import TopicSpec
from stream.kafka.kafka_python.admin import KafkaPythonAdmin
from stream.kafka.kafka_python.sink import KafkaPythonSink
from stream.kafka.kafka_python.source import KafkaPythonSource
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from stream.kafka.librdkafka.source import LibrdkafkaSource
from tests.broker.clients.conftest import CLIENTS
from tests.broker.clients.polling import EARLIEST, read, values_of
from tests.broker.server import LocalBroker, NoBroker, free_ports

TOPIC = "restarted"


# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_garbage() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    local = LocalBroker(tmp_path_factory.mktemp("restarts"), free_ports(2))
    try:
        servers = local.start()
    except NoBroker as error:
        pytest.skip(str(error))
    with closing(LibrdkafkaAdmin(Connection(servers))) as admin:
        admin.create([TopicSpec(f"{TOPIC}-{client}", 1) for client in CLIENTS])
    yield local
    local.run("wipe")


@pytest.mark.parametrize("client", CLIENTS)
def test_records_sent_while_the_broker_is_away_arrive_once_it_is_back(
    client: str, broker: LocalBroker
) -> None:
    make_source, make_sink = CLIENTS[client]
    connection, topic = Connection(broker.start()), f"{TOPIC}-{client}"
    told: list[str] = []
    with closing(make_sink(connection)) as sink, closing(make_source(connection)) as source:
        sink.send(numbered(topic, range(100)), lambda: told.append("before"))
        sink.flush(30)
        os.kill(broker.pid, signal.SIGKILL)
        sink.send(numbered(topic, range(100, 200)), lambda: told.append("during"))
        with pytest.raises(DeliveryError):
            sink.flush(0.5)
        assert told == ["before"]
        broker.start()
        sink.flush(60)
        assert told == ["before", "during"]
        source.assign(topic, {0: EARLIEST})
        assert values_of(read(source, 200)) == [b"%d" % number for number in range(200)]
        assert source.end_offsets([0]) == {0: 200}


@pytest.mark.parametrize(
    ("client", "patience"),
    [
        ("librdkafka", {"delivery.timeout.ms": "2000", "queue.buffering.max.messages": "50"}),
        ("kafka-python", {"delivery_timeout_ms": "2000", "request_timeout_ms": "1000"}),
    ],
)
def test_a_broker_that_stays_away_ends_in_a_delivery_error(
    client: str, patience: dict[str, str], broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.kafka.kafka_python.sink.MAX_UNACKNOWLEDGED", 50)
    topic, told = f"{TOPIC}-{client}", []
    sink = CLIENTS[client][1](Connection(broker.start(), overrides=patience))
    sink.send(numbered(topic, range(1)))
    sink.flush(30)
    os.kill(broker.pid, signal.SIGKILL)
    with pytest.raises(DeliveryError):
        sink.send(numbered(topic, range(1000)), lambda: told.append("never"))
    sink.close()
    assert told == []


def test_librdkafka_says_in_time_that_there_is_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.librdkafka.source.REQUEST_TIMEOUT_S", 0.5)
    with closing(LibrdkafkaSource(Connection(f"127.0.0.1:{free_ports(1)}"), "group")) as source:
        source.assign(TOPIC, {0: EARLIEST})
        for question in (source.end_offsets, source.beginning_offsets, source.committed):
            with pytest.raises(BrokerUnavailable):
                question([0])


@pytest.mark.parametrize("client", [KafkaPythonSource, KafkaPythonSink, KafkaPythonAdmin])
def test_kafka_python_says_in_time_that_there_is_no_broker(client: type) -> None:
    code = (
        f"from {client.__module__} import {client.__name__} as Client;"
        "from stream.connection import Connection;"
        f"nowhere = '127.0.0.1:{free_ports(1)}';"
        "Client(Connection(nowhere, overrides={'bootstrap_timeout_ms': '500'}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].startswith("stream.errors.BrokerUnavailable")


def numbered(topic: str, numbers: range) -> Outgoing:
    values = [b"%d" % number for number in numbers]
    return Outgoing(topic, values, values, np.zeros(len(values), np.int32))
