"""Workers that come and go while events flow."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Self

import numpy as np
import pytest

from stream.kafka.clients import make_admin
from stream.metrics import total
from stream.state.replica import Replica
from stream.state.standby import Standby
from stream.worker.worker import Worker
from tests.broker.server import free_ports
from tests.flow.conftest import SLOW_IN_PYTHON, MakeFlow
from tests.flow.feeder import Feeder
from tests.flow.flow import CLIENTS, IDLE_S, PATIENCE_S, Flow, fetch, places, wait_until

ENDS_WITHIN_S = 10
PARTITIONS = 4


class Working:
    """A worker on a thread of its own, which ends at the latest when it is left. An error that ends it is
    raised by whoever waits for it."""

    def __init__(self, flow: Flow, **flags: object) -> None:
        self._worker = Worker(flow.settings(**flags))
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    @property
    def scored(self) -> int:
        return total(self._worker.metrics.scored)

    def gauge(self, name: str) -> float | None:
        return self._worker.metrics.registry.get_sample_value(f"vitalstream_{name}")

    def start(self, until_idle: float | None = None) -> None:
        self._running = self._pool.submit(self._worker.run, self._stop, until_idle)

    def scores_more(self) -> None:
        before = self.scored
        self.wait_until(lambda: self.scored > before)

    def wait_until(self, done: Callable[[], bool]) -> None:
        wait_until(lambda: self._running.done() or done())
        assert not self._running.done(), f"it ended: {self._running.exception()!r}"

    def leave(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        self._running.result(PATIENCE_S)


def begin(first: Working, second: Working) -> None:
    """Both score: the one alone at first, the other until nothing comes."""
    first.start()
    first.scores_more()
    second.start(until_idle=IDLE_S)
    second.scores_more()


@pytest.mark.parametrize("client", CLIENTS)
def test_no_event_is_lost_or_doubled_when_a_worker_joins_and_another_leaves(
    make_flow: MakeFlow, client: str
) -> None:
    flow = make_flow(client, PARTITIONS)
    with Working(flow) as first, Working(flow) as second:
        with Feeder(flow.servers, flow.observations):
            begin(first, second)
            first.scores_more()
            first.leave()
            second.wait_until(lambda: second.gauge("partitions_assigned") == PARTITIONS)
            second.scores_more()
        second.join()
        scored = first.scored + second.scored

    inputs = [(one.partition, one.offset) for one in flow.written(flow.observations)]
    assert places(flow.scored()) == inputs
    assert scored >= len(inputs), "an epoch that the rebalance cost was scored again, and published once"
    assert flow.committed() == {
        partition: 1 + max(offset for at, offset in inputs if at == partition)
        for partition in {partition for partition, _ in inputs}
    }


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_who_stood_by_takes_over_from_its_replicas(
    make_flow: MakeFlow, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = make_flow(client, PARTITIONS, standby_replicas="all")
    taken: dict[int, Replica] = {}
    take = Standby.take
    monkeypatch.setattr(Standby, "take", lambda *given: _noting(taken, take(*given)))
    with Working(flow) as first, Working(flow) as second:
        with Feeder(flow.servers, flow.observations):
            begin(first, second)
            second.wait_until(lambda: second.gauge("standby_partitions") == PARTITIONS / 2)
            first.scores_more()
            taken.clear()
            first.leave()
            second.wait_until(lambda: second.gauge("partitions_assigned") == PARTITIONS)
            second.wait_until(lambda: second.gauge("standby_partitions") == 0)
            second.scores_more()
        second.join()
    assert len(taken) == PARTITIONS / 2
    assert all(len(replica.latest) > 1 for replica in taken.values()), "patients and the partition's mark"
    inputs = [(one.partition, one.offset) for one in flow.written(flow.observations)]
    assert places(flow.scored()) == inputs

    found, wanted = ([one["risk"] for one in each] for each in (flow.scored(), flow.scored_alone()))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def _noting(taken: dict[int, Replica], now: dict[int, Replica]) -> dict[int, Replica]:
    taken |= now
    return now


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_sigterm_ends_a_worker_in_order_while_events_flow(make_flow: MakeFlow, client: str) -> None:
    port = free_ports(1)
    flow = make_flow(client, metrics_port=port, metrics_host="127.0.0.1", log_level="DEBUG")
    process = flow.start("--json")
    try:
        with Feeder(flow.servers, flow.observations, prefix="ZQ7-"):
            wait_until(lambda: process.poll() is not None or is_scoring(port))
            process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            output, log = process.communicate(timeout=60)
            assert time.monotonic() - begun < ENDS_WITHIN_S
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert '"dead_letters": 0' in output
    assert "Traceback" not in log
    assert "ZQ7" not in log

    scored = places(flow.scored())
    inputs = [(one.partition, one.offset) for one in flow.written(flow.observations)]
    assert len(set(scored)) == len(scored)
    assert 0 < len(scored) < len(inputs)
    assert f'"scores": {len(scored)}' in output
    ends = {partition: 1 + max(o for p, o in scored if p == partition) for partition, _ in scored}
    assert flow.committed() == ends
    assert scored == [(partition, offset) for partition, offset in inputs if offset < ends.get(partition, 0)]


DYING = """
import os, sys
from confluent_kafka import Consumer
servers, group, topic, name = sys.argv[1:]
member = Consumer({"bootstrap.servers": servers, "group.id": group, "group.instance.id": name,
                   "partition.assignment.strategy": "cooperative-sticky",
                   "heartbeat.interval.ms": 500, "session.timeout.ms": 6000})
member.subscribe([topic], on_assign=lambda *_: print("assigned", flush=True),
                 on_revoke=lambda *_: os._exit(0))
while True:
    member.poll(0.1)
"""


def test_partitions_that_a_broken_off_rebalance_left_to_nobody_are_given_out(make_flow: MakeFlow) -> None:
    """Two static members die between the two halves of a cooperative rebalance."""
    flow = make_flow("librdkafka", PARTITIONS)
    with dying(flow, "a") as first_to_die, dying(flow, "b") as other:
        first_to_die.wait(PATIENCE_S)
        other.kill()
    with closing(make_admin(flow.settings())) as admin:
        owned = [
            one.get(flow.observations, set()) for one in admin.group(flow.flags["application_id"]).members
        ]
    assert len(set().union(*owned)) == PARTITIONS / 2
    with (
        Feeder(flow.servers, flow.observations),
        Working(flow, instance_id="a") as first,
        Working(flow, instance_id="b") as second,
    ):
        first.start()
        second.start()
        wait_until(
            lambda: sum(each.gauge("partitions_assigned") or 0 for each in (first, second)) == PARTITIONS
        )


@contextmanager
def dying(flow: Flow, name: str) -> Iterator[subprocess.Popen[str]]:
    """A static member that has joined, and dies when partitions are revoked."""
    arguments = [flow.servers, flow.flags["application_id"], flow.observations, name]
    with subprocess.Popen(
        [sys.executable, "-c", DYING, *arguments], stdout=subprocess.PIPE, text=True
    ) as member:
        assert member.stdout is not None
        assert member.stdout.readline() == "assigned\n"
        yield member


def is_scoring(port: int) -> bool:
    try:
        _, _, text = fetch(port, "/metrics")
    except OSError:
        return False
    return any(
        line.startswith("vitalstream_events_scored_total ") and float(line.split()[1]) > 0
        for line in text.splitlines()
    )
