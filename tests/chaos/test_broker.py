"""Brokers that are killed, and networks that fail around a commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.broker.server import free_ports
from tests.chaos.brokers import Brokers, brokers
from tests.chaos.conftest import MakeScene
from tests.chaos.injections import kill_broker, restart_with_late_offsets, strike
from tests.chaos.proxy import Fault, Proxy, Request

CLIENTS = ("librdkafka", "kafka-python")
RATE = 300.0
PATIENTS = 200
SEED = 21
COMMIT = (Request.END_TXN, Request.TXN_OFFSET_COMMIT, Request.PRODUCE, Request.ADD_PARTITIONS)


@contextmanager
def proxied(folder: Path) -> Iterator[tuple[Brokers, Proxy]]:
    listens, port = free_ports(1), free_ports(1)
    with brokers(folder / "kafka", proxied=(listens, port)) as cluster, Proxy(port, listens) as proxy:
        yield cluster, proxy


def test_an_answer_that_comes_late_and_one_that_never_comes(tmp_path: Path, make_scene: MakeScene) -> None:
    """librdkafka once went back to the beginning of the log when an answer came late; and a call of its
    never returns when a connection is cut (issues/5456)."""
    with proxied(tmp_path) as (cluster, proxy):
        scene = make_scene(cluster.servers, worker_servers=proxy.servers)
        with scene.feeding(RATE, PATIENTS, SEED):
            scene.crew.start(0)
            scene.recover()
            restart_with_late_offsets(scene, proxy, 0)
            strike(scene, proxy, Request.PRODUCE, Fault.BEFORE)
            strike(scene, proxy, Request.PRODUCE, Fault.BEFORE)
        scene.finish()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_only_broker_is_killed(tmp_path: Path, make_scene: MakeScene) -> None:
    with brokers(tmp_path / "kafka") as cluster:
        scene = make_scene(cluster.servers, settings={"client_overrides": ""})
        with scene.feeding(RATE, PATIENTS, SEED):
            scene.crew.start(0)
            scene.recover()
            kill_broker(scene, cluster, 1)
        scene.finish()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_of_three_brokers_is_killed(tmp_path: Path, make_scene: MakeScene) -> None:
    with brokers(tmp_path / "kafka", 3) as cluster:
        long_session = {"client_overrides": ""}  # a coordinator needs time to move
        scene = make_scene(cluster.servers, replicas=3, settings=long_session)
        with scene.feeding(RATE, PATIENTS, SEED):
            scene.crew.start(0)
            scene.recover()
            for number in (1, 2, 3):
                kill_broker(scene, cluster, number, away_s=5)
        scene.finish()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_network_fails_around_a_commit(client: str, tmp_path: Path, make_scene: MakeScene) -> None:
    with proxied(tmp_path) as (cluster, proxy):
        scene = make_scene(cluster.servers, client=client, worker_servers=proxy.servers)
        with scene.feeding(RATE, PATIENTS, SEED):
            scene.crew.start(0)
            scene.recover()
            for request in COMMIT:
                strike(scene, proxy, request, Fault.BEFORE)
                strike(scene, proxy, request, Fault.AFTER)
                strike(scene, proxy, request, Fault.DELAY, 3)
            strike(scene, proxy, Request.END_TXN, Fault.SILENCE)
            strike(scene, proxy, Request.PRODUCE, Fault.SILENCE)
            strike(scene, proxy, Request.END_TXN, Fault.BLACKOUT, 8)
            strike(scene, proxy, Request.END_TXN, Fault.DELAY, 12)
            restart_with_late_offsets(scene, proxy, 0)
        scene.finish()
