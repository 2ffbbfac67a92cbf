"""A thread of `vitalstream run` dies: what the log, /healthz, the metric and the exit code say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from stream.kafka.embedded import EmbeddedBroker
from tests.broker.server import free_ports
from tests.flow.flow import Flow, fetch, wait_until
from tests.support.failing import PATIENT

numbers = count()

RUN = """\
import sys, time
import stream.cli.main, stream.kafka.librdkafka.source
import stream.state.restore, stream.state.standby, stream.worker.worker

def failing(times, call):
    def called(*arguments, **named):
        nonlocal times
        times -= 1
        if times >= 0:
            raise MemoryError("{patient}")
        return call(*arguments, **named)
    return called

def slow(call):
    def called(*arguments):
        time.sleep(0.5)
        return call(*arguments)
    return called

source = stream.kafka.librdkafka.source.LibrdkafkaSource
source.close = slow(source.close)
stream.{module}.{name} = failing({times}, stream.{module}.{name})
sys.argv = ["vitalstream", "run"]
stream.cli.main.main()
"""
"""Closing is slow: what /healthz says meanwhile can be read."""


class Dying:
    """`vitalstream run` in which the first calls of a function raise."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self._port = process, port

    def says(self, path: str, expected: str) -> str:
        """What stands at `path` once it holds `expected`, a regular expression."""
        seen = ""

        def holds() -> bool:
            nonlocal seen
            try:
                seen = fetch(self._port, path)[2]
            except OSError:
                return False
            return re.search(expected, seen) is not None

        wait_until(holds)
        return seen

    def failures(self, thread: str) -> str:
        line = rf'(?m)^vitalstream_thread_failures_total{{thread="{thread}"}} .*$'
        (found,) = re.findall(line, self.says("/metrics", line))
        return str(found)

    def end(self) -> str:
        """The log, once the process has ended."""
        log = self.process.communicate(timeout=60)[1]
        assert PATIENT not in log
        assert "Traceback" not in log
        return log


@contextmanager
def dying(broker: EmbeddedBroker, module: str, name: str, times: int, **flags: object) -> Iterator[Dying]:
    def new_topic(name: str | None = None, config: object = None) -> str:
        topic = name or f"dead-{next(numbers)}"
        broker.create(topic)
        return topic

    port = free_ports(1)
    own = {"processing_guarantee": "at_least_once", "metrics_port": port, "metrics_host": "127.0.0.1"}
    flow = Flow(broker.bootstrap_servers, "librdkafka", "librdkafka", new_topic, own | flags)
    variables = {f"VITALSTREAM_{name.upper()}": str(value) for name, value in flow.flags.items()}
    code = RUN.format(patient=PATIENT, module=module, name=name, times=times)
    with subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | variables, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Dying(process, port)
        finally:
            process.kill()


def lines(log: str, *words: str) -> list[str]:
    """What the log and the last line say with one of these words, without time and logger."""
    said = [
        json.loads(line)["message"] if line.startswith("{") else line.partition(": ")[2]
        for line in log.splitlines()
    ]
    return [message for message in said if any(word in message for word in words)]


def test_a_dead_restorer_ends_the_worker(embedded: EmbeddedBroker) -> None:
    with dying(embedded, "state.restore", "fold", 1) as worker:
        healthz = worker.says("/healthz", "down")
        metric = worker.failures("restore")
        log = worker.end()
        code = worker.process.returncode
    told = lines(log, "thread failed")
    print("\n".join([f"exit code {code}", healthz, metric, *told]))
    cause = r"MemoryError at stream/state/restore\.py:\d+ in _restore"
    assert code == 1
    assert re.fullmatch(rf"the restore thread is down: {cause}\n", healthz)
    assert metric == 'vitalstream_thread_failures_total{thread="restore"} 1.0'
    assert len(told) == 2
    assert re.fullmatch(
        rf"the worker ends, and commits nothing of the open epoch: the restore thread failed: {cause}",
        told[0],
    )
    assert re.fullmatch(rf"the restore thread failed: {cause}", told[1])


@pytest.mark.parametrize(
    ("thread", "module", "name", "flags"),
    [
        ("standby", "state.standby", "fold", {"standby_replicas": "all"}),
        ("watchdog", "kafka.rebalance_watchdog.Watchdog", "_looked", {"instance_id": "a"}),
    ],
    ids=["standby", "watchdog"],
)
def test_a_dead_standby_or_watchdog_starts_again(
    embedded: EmbeddedBroker, thread: str, module: str, name: str, flags: dict[str, str]
) -> None:
    with dying(embedded, module, name, 1, **flags) as worker:
        healthz = worker.says("/healthz", "down")
        metric = worker.failures(thread)
        assert worker.says("/healthz", "^ok$") == "ok\n"
        worker.process.terminate()
        log = worker.end()
        code = worker.process.returncode
    told = lines(log, "thread failed")
    print("\n".join([f"exit code {code}", healthz, metric, *told]))
    assert code == 0
    assert re.fullmatch(rf"the {thread} thread is down: MemoryError at stream/\S+:\d+ in \S+\n", healthz)
    assert metric == f'vitalstream_thread_failures_total{{thread="{thread}"}} 1.0'
    assert len(told) == 1
    assert re.fullmatch(
        rf"the {thread} thread failed: MemoryError at stream/\S+:\d+ in \S+; it starts again in 1 s", told[0]
    )
