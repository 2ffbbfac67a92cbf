"""A broker that comes back with an empty disk, and whose topics are made again a moment later."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from stream.connection import Connection
from stream.kafka.admin import TopicSpec
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from tests.broker.server import LocalBroker, NoBroker, free_ports
from tests.flow.flow import CLIENTS, Flow, outgoing, wait_until

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
        for topic in topics:
            compacted = {"cleanup.policy": "compact"} if topic.endswith("-changelog") else {}
            admin.create([TopicSpec(topic, partitions, config=compacted)])


@contextmanager
def drained(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """The lines of its standard error so far: a full pipe would stop it."""
    lines: list[str] = []
    reading = Thread(target=lambda: lines.extend(process.stderr or ()))
    reading.start()
    yield lines
    reading.join(10)


def wipe(broker: LocalBroker, topics: list[str], without_topics_s: float) -> None:
    broker.run("wipe")
    servers = broker.start()
    time.sleep(without_topics_s)
    make(servers, topics)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "without_topics_s"), [("librdkafka", 0.0), ("librdkafka", 1.0), ("kafka-python", 1.0)]
)
def test_a_worker_scores_again_or_ends(broker: LocalBroker, client: str, without_topics_s: float) -> None:
    """librdkafka owns the partitions again if the topics are there before it joins, and else owns none; it
    reads nothing either way."""
    servers = broker.start()
    topics: list[str] = []

    def new_topic(name: str | None = None, config: object = None) -> str:
        topics.append(name or f"topic-{len(topics)}")
        make(servers, topics[-1:])
        return topics[-1]

    (reader,) = set(CLIENTS) - {client}
    flow = Flow(servers, client, reader, new_topic)
    now_ms = int(time.time() * 1000)
    event = outgoing([("a", {"patient_id": "a", "observed_at": now_ms, "values": {"HR": 80}})])
    with flow.start() as process, drained(process) as log:
        try:
            flow.send(event)
            wait_until(lambda: len(flow.scored()) == 1)
            wipe(broker, topics, without_topics_s)
            begun = time.monotonic()
            for _ in range(3):
                flow.send(event)
            while process.poll() is None and not flow.scored():
                assert time.monotonic() - begun < SCORES_OR_ENDS_WITHIN_S, "".join(log[-20:])
                time.sleep(0.5)
            took, ended = time.monotonic() - begun, process.poll()
        finally:
            process.kill()
    print(f"{client}, {without_topics_s} s without topics: exit code {ended} after {took:.0f} s. {log[-1:]}")
    assert ended in (None, 3, 7), "".join(log[-20:])
