"""A broker that comes back with an empty disk, and whose topics are made again a moment later."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from stream.admin.admin import TopicSpec
from stream.admin.librdkafka import LibrdkafkaAdmin
from stream.connection import Connection
from stream.consume.librdkafka import LibrdkafkaSource
from stream.errors import BrokerError
from tests.broker.server import LocalBroker, NoBroker, free_ports
from tests.clients.polling import Remembering
from tests.flow.flow import CLIENTS, Flow, outgoing, wait_until

WITHOUT_TOPICS_S = 1.0
"""Long enough for librdkafka to join the group while it has no topic."""
SCORES_OR_ENDS_WITHIN_S = 60.0

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_garbage() -> Iterator[None]:
    """kafka-python leaves the sockets of refused connections to the garbage collector."""
    yield
    gc.collect()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    local = LocalBroker(tmp_path, free_ports(2))
    try:
        local.start()
    except NoBroker as error:
        pytest.skip(str(error))
    yield local
    local.run("wipe")


def make(servers: str, topics: list[str], partitions: int = 4) -> None:
    with closing(LibrdkafkaAdmin(Connection(servers))) as admin:
        admin.create([TopicSpec(topic, partitions) for topic in topics])


def wipe(broker: LocalBroker, topics: list[str]) -> None:
    broker.run("wipe")
    servers = broker.start()
    time.sleep(WITHOUT_TOPICS_S)
    make(servers, topics)


def test_librdkafka_gets_partitions_again_once_it_rejoins(broker: LocalBroker) -> None:
    servers, listener = broker.start(), Remembering()
    make(servers, ["in"])
    with closing(LibrdkafkaSource(Connection(servers), "group")) as source:

        def poll() -> None:
            try:
                source.poll(1, 0.1)
            except BrokerError as error:
                assert "in" in str(error)

        source.subscribe("in", listener)
        wait_until(lambda: poll() or source.assignment() == [0, 1, 2, 3])
        wiping = Thread(target=lambda: (broker.run("wipe"), broker.start()))
        wiping.start()
        wait_until(lambda: poll() or listener.events[-2:] == [("lost", [0, 1, 2, 3]), ("assigned", [])])
        wiping.join()
        make(servers, ["in"])
        source.rejoin()
        wait_until(lambda: poll() or source.assignment() == [0, 1, 2, 3])


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_a_worker_scores_again_or_ends(broker: LocalBroker, client: str) -> None:
    servers = broker.start()
    topics: list[str] = []

    def new_topic(name: str | None = None) -> str:
        topics.append(name or f"topic-{len(topics)}")
        make(servers, topics[-1:])
        return topics[-1]

    (reader,) = set(CLIENTS) - {client}
    flow = Flow(servers, client, reader, new_topic)
    now_ms = int(time.time() * 1000)
    event = outgoing([("a", {"patient_id": "a", "observed_at": now_ms, "values": {"HR": 80}})])
    process = flow.start()
    try:
        flow.send(event)
        wait_until(lambda: len(flow.scored()) == 1)
        wipe(broker, topics)
        begun = time.monotonic()
        flow.send(event)
        while process.poll() is None and not flow.scored():
            assert time.monotonic() - begun < SCORES_OR_ENDS_WITHIN_S
            time.sleep(0.5)
        print(
            f"{client}: exit {process.poll()}, {time.monotonic() - begun:.0f} s, {len(flow.scored())} scores"
        )
    finally:
        process.kill()
        print(process.communicate()[1])
    assert process.returncode in (-9, 3, 7)
