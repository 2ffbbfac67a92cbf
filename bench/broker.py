"""A broker of one's own for a benchmark, what processes cost, and how far topics have come."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
PARTITIONS = 4
NOT_YET = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)
MEMBERS_S = 60.0
PATIENCE_S = 90.0
TICKS = os.sysconf("SC_CLK_TCK")
CHANGELOG, COMPACT = "-patient-state-changelog", {"cleanup.policy": "compact"}
NEVER_CLEANED = {"min.cleanable.dirty.ratio": "1.0"}
WORKER = (sys.executable, "-m", "stream", "run")


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    peak_rss_bytes: int


def usage(*pids: int) -> Usage:
    """CPU time so far of processes, with all their threads and the children that they have waited for, and
    the sum of their peaks."""
    cpu = peak = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu += sum(map(int, fields[11:15]))
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        peak += int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    return Usage(cpu / TICKS, peak * 1024)


def launch(
    arguments: Sequence[str], settings: Mapping[str, str], code: Path = ROOT
) -> subprocess.Popen[bytes]:
    """A process with these settings of vitalstream, by their names in capitals, and no others. code: the
    checkout whose packages it imports."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VITALSTREAM_")}
    environment |= {f"VITALSTREAM_{name}": value for name, value in settings.items()}
    environment["PYTHONPATH"] = str(code)
    return subprocess.Popen(arguments, cwd=ROOT, env=environment)


def wait_for(count: Callable[[], int], scores: int, who: str) -> None:
    """Until there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    while (scored := count()) < scores:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{who}: {scored} of {scores} scores after {PATIENCE_S:g} s")
        time.sleep(0.05)


class Broker:
    def __init__(self, bootstrap: str, pid: int) -> None:
        self.bootstrap, self.pid = bootstrap, pid
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, *topics: str, append_time: bool = False) -> None:
        """`append_time`: the broker stamps each record with the moment at which it was appended. A changelog
        is compacted, but the cleaner leaves it alone: it would take its time from one run and not from the
        next."""
        config = {"message.timestamp.type": "LogAppendTime" if append_time else "CreateTime"}
        changelog = COMPACT | NEVER_CLEANED
        new = [
            NewTopic(topic, PARTITIONS, 1, config=config | (changelog if topic.endswith(CHANGELOG) else {}))
            for topic in topics
        ]
        for done in self._admin.create_topics(new).values():
            done.result(30)

    def delete(self, *topics: str) -> None:
        for done in self._admin.delete_topics(list(topics)).values():
            done.result(30)

    def wait_for_members(self, group: str, count: int) -> None:
        """Until so many members of a consumer group have partitions."""
        deadline = time.monotonic() + MEMBERS_S
        while time.monotonic() < deadline:
            description = self._admin.describe_consumer_groups([group])[group].result(30)
            if sum(bool(member.assignment.topic_partitions) for member in description.members) == count:
                return
            time.sleep(0.2)
        raise RuntimeError(f"the group has not {count} members with partitions after {MEMBERS_S:g} s")

    def worker_settings(self, name: str, observations: str) -> dict[str, str]:
        """Settings of a worker of the application `name`, whose output topics begin with it too."""
        return {
            "BOOTSTRAP_SERVERS": self.bootstrap,
            "APPLICATION_ID": name,
            "OBSERVATIONS_TOPIC": observations,
            "SCORES_TOPIC": f"{name}-scores",
            "ALERTS_TOPIC": f"{name}-alerts",
            "DEAD_LETTERS_TOPIC": f"{name}-dead-letters",
            "METRICS_PORT": "0",
            "LOG_LEVEL": "ERROR",
            "DEVICE": "cpu",
        }

    def watch(self, topic: str) -> RecordCounter:
        return RecordCounter(self.bootstrap, topic)


class RecordCounter:
    """Counts the records that were ever appended to a topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-counter"})
        while not self._known():
            time.sleep(0.05)

    def __call__(self) -> int:
        return sum(self._consumer.get_watermark_offsets(part, timeout=30)[1] for part in self._partitions)

    def _known(self) -> bool:
        """A topic just made has for a moment no partitions, or partitions without a leader."""
        try:
            self()
        except KafkaException as error:
            if error.args[0].code() in NOT_YET:
                return False
            raise
        return True

    def close(self) -> None:
        self._consumer.close()


def free_port() -> int:
    """The first of two neighbouring free ports (broker and controller)."""
    while True:
        with socket.socket() as broker_socket, socket.socket() as controller_socket:
            broker_socket.bind(("127.0.0.1", 0))
            port = int(broker_socket.getsockname()[1])
            try:
                controller_socket.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@contextmanager
def local_broker() -> Iterator[Broker]:
    """Apache Kafka by `deploy/kafka/local`, with its data in a folder that is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vitalstream-bench-"))
    tool = [sys.executable, str(ROOT / "deploy" / "kafka" / "local")]
    port = str(free_port())
    try:
        started = subprocess.run(
            [*tool, "start", "--data", str(folder), "--port", port],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        yield Broker(started.stdout.split()[-1], int((folder / "node-1" / "pid").read_text()))
    finally:
        subprocess.run([*tool, "wipe", "--data", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)
