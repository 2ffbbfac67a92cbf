from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry, Gauge

from stream.errors import SettingsError
from stream.settings import load
from stream.worker import http as health
from stream.worker.http import HealthServer
from stream.worker.worker import Worker
from tests.flow.flow import fetch, wait_until


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


def test_a_query_string_changes_nothing(server: HealthServer) -> None:
    for path in ("/healthz?verbose", "/readyz?a=b&c", "/metrics?name[]=beds"):
        assert fetch(server.port, path)[0] == 200


def test_a_head_request_gets_the_headers_alone(server: HealthServer, checks: Checks) -> None:
    checks.unready = "no partition is assigned"
    for path, status in (("/metrics", 200), ("/healthz", 200), ("/readyz", 503), ("/", 404)):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        with closing(connection):
            connection.request("HEAD", path)
            answer = connection.getresponse()
            length = int(answer.headers["Content-Length"])
            assert (answer.status, answer.read()) == (status, b"")
            assert length == len(fetch(server.port, path)[2].encode())


def test_a_check_that_fails_is_an_answer_with_its_reason(registry: CollectorRegistry) -> None:
    def failing() -> str | None:
        raise KeyError("canary-patient-4711")

    with closing(HealthServer("127.0.0.1", 0, registry, failing, failing)) as server:
        status, _, body = fetch(server.port, "/healthz")
    assert (status, body.partition(" ")[0]) == (500, "KeyError")
    assert "canary" not in body


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize(
    ("host", "reachable"), [("::1", {"[::1]"}), ("::", {"[::1]", "127.0.0.1"}), ("0.0.0.0", {"127.0.0.1"})]
)
def test_it_listens_with_ipv6_too(registry: CollectorRegistry, host: str, reachable: set[str]) -> None:
    with closing(HealthServer(host, 0, registry, lambda: None, lambda: None)) as server:
        for address in reachable:
            with urllib.request.urlopen(f"http://{address}:{server.port}/healthz", timeout=10) as answer:
                assert answer.read() == b"ok\n"


def silent(server: HealthServer, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(count)]


def threads() -> int:
    return sum("process_request" in thread.name for thread in threading.enumerate())


def test_connections_that_say_nothing_are_bounded_and_end(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 1.0)
    with ExitStack() as open_ones:
        for connection in silent(server, 100):
            open_ones.callback(connection.close)
        assert fetch(server.port, "/healthz")[0] == 200
        wait_until(lambda: threads() <= health.CONNECTIONS, 5)
        assert threads() > 0
        wait_until(lambda: threads() == 0, 5)
        assert fetch(server.port, "/healthz")[0] == 200


def test_a_request_that_dribbles_in_is_cut_off(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.5)
    (connection,) = silent(server, 1)
    with closing(connection), pytest.raises(ConnectionError):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.send(b"G")
            time.sleep(0.05)


def test_a_scrape_that_is_cut_off_leaves_nothing_in_the_log(
    server: HealthServer,
    registry: CollectorRegistry,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    gauge = Gauge("beds", "Beds.", ["ward"], registry=registry)
    gauge.labels(16_000_000 * "w").set(1)  # more than the socket's buffers hold
    for _ in range(3):
        (connection,) = silent(server, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 200")
        connection.close()
    wait_until(lambda: threads() == 0, 10)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


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
    worker = Worker(settings)
    try:
        assert worker.health.unhealthy() is None
        assert worker.health.unready() == "starting: waiting for the broker"
        time.sleep(0.3)
        assert "no progress" in (worker.health.unhealthy() or "")
    finally:
        worker.pipeline.close_clean()
