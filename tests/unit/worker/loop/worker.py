"""A worker on a cluster in memory, turned by hand: every stage of a real one, with a cell that is its own
reference."""

from __future__ import annotations

import time
from typing import Any

from stream.kafka.memory import Cluster, MemorySource
from stream.settings import load
from stream.worker import assembly
from stream.worker.lifecycle import WorkerState
from stream.worker.pipeline import Pipeline
from stream.worker.worker import Worker
from tests.unit.worker.loop.cluster import CLUSTERS
from tests.unit.worker.loop.ward import EXPIRE_H, GRACE_H, PARTITIONS

RESTORE_TIMEOUT_S = 5.0
SCORES, DEAD_LETTERS, INPUT = "vitals.risk-scores.v1", "vitals.dead-letters.v1", "vitals.observations.v1"
BATCH = 8


class MemoryWorker:
    """`pipeline` is for a `with`, as in `Worker.run`. slot: its instance id."""

    def __init__(self, cluster: Cluster, guarantee: str, slot: str = "worker", **flags: Any) -> None:
        servers = str(id(cluster))
        CLUSTERS[servers] = cluster
        own = {
            "bootstrap_servers": servers,
            "instance_id": slot,
            "metrics_port": 0,
            "device": "cpu",
            "processing_guarantee": guarantee,
            "commit_interval": 9.0,
            "commit_events": 1,
            "max_batch": BATCH,
            "max_wait": 0,
            "expire_after": EXPIRE_H * 3600.0,
            "discharge_grace": GRACE_H * 3600.0,
        }
        self.cluster = cluster
        self.pipeline: Pipeline = Worker(load(own | flags, environment={})).pipeline
        self.source = self.pipeline.source
        self.member: MemorySource = getattr(self.source, "_port", self.source)

    def join(self) -> None:
        self.source.subscribe(INPUT, assembly.watched("rebalance", self.pipeline), held=True)

    def run_once(self) -> int:
        """One turn, in which who is gone is cleared away, and the restorations that it began."""
        self.pipeline._tidied = 0.0
        arrived = self.pipeline.run_once(0)
        until = time.monotonic() + RESTORE_TIMEOUT_S
        while self.pipeline.state is WorkerState.RUNNING and self._restoring:
            assert time.monotonic() < until, "a partition is not restored"
            arrived += self.pipeline.run_once(0)
        return arrived

    def finish(self) -> None:
        """Turn until all is committed. An epoch that is lost is no end."""
        for _ in range(200):
            idle = not self.run_once()
            if idle and not self.member.news and self.pipeline.settle() and self._all_read():
                return
        raise AssertionError("the worker does not finish")

    @property
    def _restoring(self) -> set[int]:
        return self.pipeline.assigned - self.pipeline.running

    def _all_read(self) -> bool:
        logs = self.cluster.logs[INPUT]
        return all(self.cluster.offsets.get(one, 0) == len(log) for one, log in enumerate(logs))


def work(cluster: Cluster, guarantee: str, **flags: Any) -> None:
    """A worker that owns every partition scores all there is, and is gone."""
    worker = MemoryWorker(cluster, guarantee, **flags)
    try:
        with worker.pipeline:
            worker.join()
            for partition in range(PARTITIONS):
                cluster.give(partition, worker.member)
            worker.finish()
    finally:
        worker.member.die()
