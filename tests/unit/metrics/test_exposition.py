"""What a scrape of a running worker gets. Its model carries a reference, so that drift is told."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from model import artifact
from model.reference import Reference
from model.variables import NAMES
from stream.columns.records import Outgoing
from stream.kafka.embedded import EmbeddedBroker
from stream.metrics import total
from stream.settings import SHIPPED_MODEL
from stream.synthetic.simulator import Ward
from stream.worker.worker import Worker
from tests.broker.server import free_ports
from tests.flow.flow import Flow, fetch, wait_until
from tests.unit.model import synthetic

pytestmark = pytest.mark.long

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
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("model"), np.random.default_rng(0)
    model = artifact.load(SHIPPED_MODEL)
    model.reference = Reference.fit(synthetic.values(rng, 2000).numpy(), rng.random(500, dtype=np.float32))
    artifact.save(model, folder, artifact.Card(data="the shipped model; its reference is made up"))
    return folder


@pytest.fixture(scope="module")
def running(broker: EmbeddedBroker, model: Path) -> Iterator[Running]:
    def new_topic(name: str | None = None, config: object = None) -> str:
        topic = name or f"metrics-{next(numbers)}"
        broker.create(topic)
        return topic

    port = free_ports(1)
    flags = {
        "client_overrides": {"fetch.wait.max.ms": "5", "log_level": "3"},
        "model": str(model),
        "processing_guarantee": "at_least_once",
        "metrics_port": port,
        "metrics_host": "127.0.0.1",
    }
    flow = Flow(broker.bootstrap_servers, "librdkafka", "librdkafka", new_topic, flags)
    worker, stop = Worker(flow.settings()), threading.Event()
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
    assert 0 < now("patient_state_bytes") <= 1536
    assert 10 <= now("patients_resident") <= 20
    wait_until(lambda: [now("consumer_lag_records", partition=str(one)) for one in range(4)] == [0.0] * 4)


def test_series_do_not_grow_with_patients(running: Running) -> None:
    running.feed(patients=10, seed=4)
    few = running.series()
    running.feed(patients=500, seed=5)
    assert running.series() == few


def test_a_worker_tells_of_drift(running: Running) -> None:
    """Of some events, since of each feed only a sample is looked at. The ward's heart rates are not the
    reference's; cholesterol is not measured at all."""
    for seed in range(7, 11):
        running.feed(patients=300, seed=seed)
    value = running.worker.metrics.registry.get_sample_value

    def now(name: str, **labels: str) -> float:
        found = value(f"vitalstream_{name}", labels)
        assert found is not None
        return found

    wait_until(lambda: now("input_psi", variable="HR") > 0.25)
    wait_until(lambda: now("measured_psi", variable="HR") > 0.25)
    wait_until(lambda: now("measured_psi", variable="Cholesterol") > 0.25)
    wait_until(lambda: now("risk_psi") > 0.25)
    wait_until(lambda: now("risk_count") == now("events_scored_total"))
    assert math.isnan(now("input_psi", variable="Cholesterol"))
    assert 0 < now("risk_sum") < now("risk_count")
    measured = {name: now("values_measured_total", variable=name) for name in NAMES}
    assert measured["Cholesterol"] == 0
    assert 300 < measured["HR"] <= now("events_scored_total")


def test_a_running_worker_is_healthy_and_ready(running: Running) -> None:
    running.feed(patients=1, seed=6)
    assert fetch(running.port, "/healthz")[::2] == (200, "ok\n")
    assert fetch(running.port, "/readyz")[::2] == (200, "ok\n")
