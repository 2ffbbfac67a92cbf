"""A worker that is told to stop, on a real Kafka."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream.console.stopping import AGAIN_S
from stream.synthetic.simulator import Ward
from tests.flow.conftest import MakeFlow
from tests.flow.flow import Flow, places
from tests.support import armed

SECONDS = 2.0


@pytest.fixture
def flow(make_flow: MakeFlow) -> Flow:
    """Has 60 events to be scored."""
    flow = make_flow(partitions=1)
    now = int(time.time() * 1000)
    flow.send(Ward(6, seed=1, start_ms=now - 600_000, interval=60).tick(now - 1))
    return flow


@contextmanager
def worker_that_said(flow: Flow, line: str, **started: str) -> Iterator[subprocess.Popen[str]]:
    """A worker whose log has come to this line."""
    with flow.start(**started) as process:
        try:
            assert process.stderr
            assert any(line in said for said in process.stderr)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("line", ["joining group", "assigned: partitions", "restored: partition"])
def test_a_worker_that_is_stopped_early_ends_within_two_seconds_with_0(flow: Flow, line: str) -> None:
    with worker_that_said(flow, line) as worker:
        stopped = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
        assert time.monotonic() - stopped < SECONDS


def test_a_worker_that_is_stopped_twice_commits_nothing_and_the_next_one_does_it_again(flow: Flow) -> None:
    flow.flags["instance_id"] = "one"
    hanging = {armed.VARIABLE: "after_step:1:hang"}
    with worker_that_said(flow, armed.REACHED, program="tests.support.armed", **hanging) as worker:
        worker.send_signal(signal.SIGTERM)
        time.sleep(AGAIN_S + 0.2)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 128 + signal.SIGTERM
    assert (flow.committed(), flow.scored()) == ({}, [])
    flow.run()
    assert places(flow.scored()) == [(0, offset) for offset in range(flow.committed()[0])]
