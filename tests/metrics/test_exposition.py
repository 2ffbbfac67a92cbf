"""What a scrape of a running worker gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from stream.assembly import Worker, build_worker
from stream.embedded import EmbeddedBroker
from stream.ingest.simulator import Ward
from stream.metrics import total
from stream.records import Outgoing
from tests.broker.server import free_ports
from tests.flow.flow import Flow, fetch, wait_until

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
numbers = count()


@dataclass
class Running:
    worker: Worker
    flow: Flow
    port: int

    def feed(self, patients: int, seed: int) -> None:
        """Give some events of so many patients, and wait until they are counted."""
        now = int(time.time() * 1000)
        events = Ward(patients, seed, now - 600_000, interval=300).tick(now - 1)
        bad = Outgoing("", [*events.values, b"{", b"{}"], [*events.keys, b"x", b"y"])
        metrics = self.worker.metrics
        wanted = total(metrics.consumed) + len(bad)
        self.flow.send(bad)
        wait_until(lambda: total(metrics.consumed) == wanted)
        wait_until(
            lambda: (metrics.registry.get_sample_value("vitalstream_patients_resident") or 0) >= patients
        )

    def series(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        _, _, text = fetch(self.port, "/metrics")
        return {
            (sample.name, frozenset(sample.labels.items()))
            for family in parse_plain(text)
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="module")
def running(broker: EmbeddedBroker) -> Iterator[Running]:
    def new_topic(name: str | None = None) -> str:
        topic = name or f"metrics-{next(numbers)}"
        broker.create(topic)
        return topic

    port = free_ports(1)
    flags = {
        "client_overrides": {"fetch.wait.max.ms": "5", "log_level": "3"},
        "processing_guarantee": "at_least_once",
        "metrics_port": port,
        "metrics_host": "127.0.0.1",
    }
    flow = Flow(broker.bootstrap_servers, "librdkafka", "librdkafka", new_topic, flags)
    worker, stop = build_worker(flow.settings()), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(worker.run, stop)
        try:
            yield Running(worker, flow, port)
        finally:
            stop.set()
        ended.result()


def test_the_metrics_are_as_prometheus_wants_them(running: Running) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        reason = "promtool is not there (Debian package prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    running.feed(patients=10, seed=1)
    status, kind, text = fetch(running.port, "/metrics", Accept="text/plain")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_both_formats_tell_the_same(running: Running) -> None:
    running.feed(patients=10, seed=2)
    status, kind, text = fetch(running.port, "/metrics", Accept=OPEN_METRICS)
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    named = {sample.name for family in parse_open(text) for sample in family.samples}
    plain = {name for name, _ in running.series() if not name.endswith("_created")}
    assert {name for name in named if not name.endswith("_created")} == plain


def test_a_worker_tells_what_it_did(running: Running) -> None:
    running.feed(patients=10, seed=3)
    value = running.worker.metrics.registry.get_sample_value

    def now(name: str, **labels: str) -> float:
        return value(f"vitalstream_{name}", labels) or 0.0

    wait_until(lambda: now("event_latency_seconds_count") == now("events_scored_total"))
    refused = {
        code: now("events_refused_total", stage="decode", code=code) for code in ("not_json", "missing_field")
    }
    assert refused["not_json"] == refused["missing_field"] > 0
    assert now("events_consumed_total") == now("events_scored_total") + sum(refused.values())
    assert now("record_latency_seconds_count") == now("events_scored_total")
    assert now("batch_size_events_sum") == now("events_consumed_total")
    assert now("decode_duration_seconds_count") == now("batch_size_events_count") > 0
    assert now("step_duration_seconds_count") > 0
    assert now("partitions_assigned") == 4
    assert 0 < now("patient_state_bytes") <= 1024
    assert 10 <= now("patients_resident") <= 20
    wait_until(lambda: [now("consumer_lag_records", partition=str(one)) for one in range(4)] == [0.0] * 4)


def test_series_do_not_grow_with_patients(running: Running) -> None:
    running.feed(patients=10, seed=4)
    few = running.series()
    running.feed(patients=500, seed=5)
    assert running.series() == few


def test_a_running_worker_is_healthy_and_ready(running: Running) -> None:
    running.feed(patients=1, seed=6)
    assert fetch(running.port, "/healthz")[::2] == (200, "ok\n")
    assert fetch(running.port, "/readyz")[::2] == (200, "ok\n")
