"""A worker that is stopped before it has joined."""

from __future__ import annotations

import threading

import pytest

from stream.kafka.memory import Cluster, MemorySource
from stream.settings import load
from stream.worker.lifecycle import WorkerState
from stream.worker.worker import Worker
from tests.unit.worker.loop.cluster import CLUSTERS
from tests.unit.worker.loop.ward import PARTITIONS
from tests.unit.worker.loop.worker import INPUT


def test_a_worker_that_is_stopped_while_it_waits_for_the_broker_does_not_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(PARTITIONS, INPUT)
    CLUSTERS["away"] = cluster
    joined: list[object] = []
    monkeypatch.setattr(Worker, "_check_topics", lambda self, stop, patience: stop.set())
    monkeypatch.setattr(MemorySource, "subscribe", lambda *arguments, **options: joined.append(arguments))
    flags = {"bootstrap_servers": "away", "metrics_port": 0, "device": "cpu"}
    worker = Worker(load(flags, environment={}))
    worker.run(threading.Event(), check_topics=True)
    assert joined == []
    assert worker.pipeline.state is WorkerState.CLOSED
