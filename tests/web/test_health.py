from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry, Gauge

from stream.assembly import build_worker
from stream.errors import SettingsError
from stream.settings import load
from stream.web.health import HealthServer
from tests.flow.flow import fetch


class Checks:
    """What is wrong, as a test sets it."""

    def __init__(self) -> None:
        self.unhealthy: str | None = None
        self.unready: str | None = None


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server(checks: Checks, registry: CollectorRegistry) -> Iterator[HealthServer]:
    with closing(
        HealthServer("127.0.0.1", 0, registry, lambda: checks.unhealthy, lambda: checks.unready)
    ) as server:
        yield server


def test_health_and_readiness_are_told_apart(server: HealthServer, checks: Checks) -> None:
    assert fetch(server.port, "/healthz")[::2] == fetch(server.port, "/readyz")[::2] == (200, "ok\n")
    checks.unready = "no partition is assigned"
    assert fetch(server.port, "/healthz")[0] == 200
    assert fetch(server.port, "/readyz")[::2] == (503, "no partition is assigned\n")
    checks.unready, checks.unhealthy = None, "no progress for 31 s"
    assert fetch(server.port, "/healthz")[::2] == (503, "no progress for 31 s\n")
    assert fetch(server.port, "/readyz")[0] == 200


def test_metrics_are_those_of_the_registry_at_the_time(
    server: HealthServer, registry: CollectorRegistry
) -> None:
    gauge = Gauge("beds", "Beds.", registry=registry)
    for beds in (1, 2):
        gauge.set(beds)
        assert f"beds {beds}.0\n" in fetch(server.port, "/metrics")[2]
    assert fetch(server.port, "/metrics?collect[]=beds")[0] == 200


def test_elsewhere_there_is_nothing(server: HealthServer) -> None:
    for path in ("/", "/healthz/", "/metrics/../etc"):
        assert fetch(server.port, path)[0] == 404


def test_a_port_that_is_taken_is_an_error_of_that_setting(server: HealthServer) -> None:
    with pytest.raises(SettingsError, match="metrics_port"):
        HealthServer("127.0.0.1", server.port, CollectorRegistry(), lambda: None, lambda: None)


def test_after_close_nothing_listens(server: HealthServer) -> None:
    server.close()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", server.port))


def test_a_worker_that_makes_no_progress_is_unhealthy() -> None:
    settings = load(
        {"bootstrap_servers": "localhost:1", "device": "cpu", "health_timeout": 0.2}, environment={}
    )
    worker = build_worker(settings)
    try:
        assert worker.healthy() is None
        assert worker.ready() == "no partition is assigned"
        time.sleep(0.3)
        assert "no progress" in (worker.healthy() or "")
    finally:
        worker.pipeline.close_clean()
