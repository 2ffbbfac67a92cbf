"""A worker between topics of its own, and an independent look at what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from kafka import KafkaConsumer
from kafka import TopicPartition as PythonTopicPartition

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.settings import Settings, load
from stream.worker.worker import Worker

CLIENTS = ("librdkafka", "kafka-python")
IDLE_S = 1.0
PATIENCE_S = 60.0


class Written(NamedTuple):
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass
class Flow:
    """Topics of its own on `servers`, and the settings of a worker between them. `reader`: the client of
    the independent consumer, never the worker's where the broker lets both read."""

    servers: str
    client: str
    reader: str
    new_topic: Callable[..., str]
    flags: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.observations, self.scores, self.letters, alerts = (self.new_topic() for _ in range(4))
        self.flags = {
            "bootstrap_servers": self.servers,
            "client": self.client,
            "application_id": f"test-{self.observations}",
            "observations_topic": self.observations,
            "scores_topic": self.scores,
            "dead_letters_topic": self.letters,
            "alerts_topic": alerts,
            "metrics_port": 0,
            "device": "cpu",
        } | self.flags
        self.changelog = self.new_topic(
            name=self.settings().changelog_topic, config={"cleanup.policy": "compact"}
        )

    def settings(self, **flags: Any) -> Settings:
        return load(self.flags | flags, environment={})

    def send(self, outgoing: Outgoing) -> None:
        """Deliver these to the input topic."""
        with closing(LibrdkafkaSink(Connection(self.servers))) as sink:
            sink.send(replace(outgoing, topic=self.observations))
            sink.flush(PATIENCE_S)

    def run(self, **flags: Any) -> Worker:
        """A worker in this process, until nothing came for a second."""
        worker = Worker(self.settings(**flags))
        worker.run(threading.Event(), IDLE_S)
        return worker

    def scored_alone(self, **flags: Any) -> list[dict[str, Any]]:
        """The scores of the same input by one worker, never interrupted, in an application of its own."""
        alone = Flow(self.servers, self.client, self.reader, self.new_topic, flags)
        alone.flags["observations_topic"] = self.observations
        alone.run()
        return alone.scored()

    def start(self, *arguments: str, program: str = "stream", **environment: str) -> subprocess.Popen[str]:
        """`vitalstream run` in a process of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VITALSTREAM_")}
        variables = {f"VITALSTREAM_{name.upper()}": str(value) for name, value in self.flags.items()}
        return subprocess.Popen(
            [sys.executable, "-m", program, "run", *arguments],
            env=clean | variables | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def written(self, topic: str) -> list[Written]:
        return READERS[self.reader](self.servers, topic)

    def scored(self) -> list[dict[str, Any]]:
        """Every score, partition by partition in order."""
        return [json.loads(record.value or b"") for record in self.written(self.scores)]

    def committed(self, group: str | None = None) -> dict[int, int]:
        settings = {"bootstrap.servers": self.servers, "group.id": group or self.flags["application_id"]}
        with closing(Consumer(settings)) as consumer:
            partitions = (
                consumer.list_topics(self.observations, timeout=10).topics[self.observations].partitions
            )
            asked = [TopicPartition(self.observations, partition) for partition in partitions]
            found = consumer.committed(asked, timeout=10)
        return {one.partition: one.offset for one in found if one.offset >= 0}


def read_with_librdkafka(servers: str, topic: str) -> list[Written]:
    settings = {
        "bootstrap.servers": servers,
        "group.id": "independent",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    found = []
    with closing(Consumer(settings)) as consumer:
        open_ = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in open_])
        while open_:
            message = consumer.poll(10)
            assert message is not None, "the topic's end did not come"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                open_.discard(message.partition())
                continue
            headers = {name: value or b"" for name, value in message.headers() or []}
            found.append(
                Written(
                    message.partition() or 0,
                    message.offset() or 0,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    headers,
                )
            )
    return sorted(found, key=lambda record: record[:2])


def read_with_kafka_python(servers: str, topic: str) -> list[Written]:
    found = []
    consumer = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    )
    with closing(consumer):
        partitions = [
            PythonTopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        deadline = time.monotonic() + PATIENCE_S
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < deadline, "the topic's end did not come"
            for records in consumer.poll(timeout_ms=500).values():
                found += [
                    Written(one.partition, one.offset, one.timestamp, one.key, one.value, dict(one.headers))
                    for one in records
                ]
    return sorted(found, key=lambda record: record[:2])


READERS = {"librdkafka": read_with_librdkafka, "kafka-python": read_with_kafka_python}


def outgoing(events: Sequence[tuple[str, dict[str, Any] | bytes]]) -> Outgoing:
    """Key and event, or bytes that may be none, in this order."""
    values = [event if isinstance(event, bytes) else json.dumps(event).encode() for _, event in events]
    return Outgoing("", values, [key.encode() for key, _ in events])


def risks_by_patient(scores: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Each patient's risks in the order in which they were written."""
    risks = defaultdict(list)
    for score in scores:
        risks[score["patient_id"]].append(score["risk"])
    return {patient: np.array(values) for patient, values in risks.items()}


def places(scores: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(score["source"]["partition"], score["source"]["offset"]) for score in scores]


def letter_places(letters: Sequence[Written]) -> list[tuple[int, int]]:
    return [
        (int(one.headers["vitalstream.error.partition"]), int(one.headers["vitalstream.error.offset"]))
        for one in letters
    ]


def wait_until(done: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def fetch(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()
