"""Which Kafka the tests run on: a given one, one in Docker, or the one of deploy/kafka/local."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "deploy" / "kafka" / "local"
IMAGE: str = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["kafka"]["image"]
START_TIMEOUT_S = 120


class NoBroker(Exception):
    pass


@contextmanager
def any_broker(folder: Path) -> Iterator[tuple[str, str]]:
    """Bootstrap servers, and what they are in words. Raises `NoBroker`."""
    if given := os.environ.get("VITALSTREAM_TEST_BOOTSTRAP"):
        yield given, f"{given} (VITALSTREAM_TEST_BOOTSTRAP)"
    elif docker_answers():
        with container() as servers:
            yield servers, f"{IMAGE} in Docker"
    else:
        with local_broker(folder) as servers:
            yield servers, "deploy/kafka/local"


def docker_answers() -> bool:
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():  # docker leaves the socket of a refused connection to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env(timeout=5)) as engine:
                answers = bool(engine.ping())
        except DockerException:
            answers = False
        gc.collect()
    return answers


@contextmanager
def container() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.core.container import DockerContainer

        port = free_ports(1)
        broker: Any = DockerContainer(IMAGE).with_bind_ports(9092, port)
        for name, value in {
            "NODE_ID": "1",
            "PROCESS_ROLES": "broker,controller",
            "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
            "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "AUTO_CREATE_TOPICS_ENABLE": "false",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        }.items():
            broker = broker.with_env(f"KAFKA_{name}", value)
        with broker:
            deadline = time.monotonic() + START_TIMEOUT_S
            while b"Kafka Server started" not in b"".join(broker.get_logs()):
                if time.monotonic() > deadline:
                    raise NoBroker(f"{IMAGE} did not come up")
                time.sleep(0.5)
            yield f"127.0.0.1:{port}"


@contextmanager
def local_broker(folder: Path) -> Iterator[str]:
    local = LocalBroker(folder, free_ports(2))
    try:
        yield local.start()
    finally:
        local.run("wipe")


class LocalBroker:
    """deploy/kafka/local with its data in `folder`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def start(self) -> str:
        done = self.run("start", "--port", str(self.port))
        if done.returncode:
            raise NoBroker(f"deploy/kafka/local: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LOCAL, *arguments, "--data", self.folder], capture_output=True, text=True, check=False
        )

    @property
    def pid(self) -> int:
        return int((self.folder / "node-1" / "pid").read_text())


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nothing listens at."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
        if all(is_free(port + step) for step in range(count)):
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
