"""/metrics, /healthz and /readyz of a worker."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.errors import SettingsError, describe

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong, in a sentence; None if nothing is."""

CONNECTIONS = 32
"""Beyond these the oldest makes room for the newest: a probe is answered, whatever others leave open."""
TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.1
TEXT = "text/plain; charset=utf-8"


class HealthServer:
    """Serves from a thread of its own until `close`. Port 0 takes a free one: see `port`. Host `::` is every
    address, of IPv6 and of IPv4.

    healthy: the loop makes progress. ready: partitions are assigned and restored. Each answers 200, or 503
    with the sentence. A connection gets one answer and `TIMEOUT_S` for it. Raises `SettingsError` if the
    address cannot be had.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, healthy: Check, ready: Check
    ) -> None:
        self._server = _listening(host, port, _answering(registry, {"/healthz": healthy, "/readyz": ready}))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(LOOK_EVERY_S,), name="health", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):
    """A thread for each connection, `CONNECTIONS` at most."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family: int, address: Any, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= CONNECTIONS:
            self._hang_up(next(iter(self._open)))
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        now = time.monotonic()
        for connection, since in list(self._open.items()):
            if now - since > TIMEOUT_S:
                self._hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        error = sys.exception()
        if error and not isinstance(error, ConnectionError):
            log.warning("metrics and health: %s", describe(error))

    def _hang_up(self, connection: socket.socket) -> None:
        """Its thread reads the end of the connection and ends."""
        self._open.pop(connection, None)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _listening(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = addresses[0]
        return _Server(family, address, handler)
    except OSError as error:
        endpoint = f"metrics_host {host}, metrics_port {port}"
        raise SettingsError(f"{endpoint}: {error.strerror}; another port, or 0 for none?") from error


def _answering(registry: CollectorRegistry, checks: Mapping[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(self._head())

        def do_HEAD(self) -> None:
            self._head()

        def _head(self) -> bytes:
            """Send all but the body, which is returned."""
            try:
                status, content_type, body = self._found(self.path.partition("?")[0])
            except Exception as error:
                status, content_type, body = 500, TEXT, f"{describe(error)}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def _found(self, path: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                return 200, content_type, encode(registry)
            if check := checks.get(path):
                wrong = check()
                return 503 if wrong else 200, TEXT, f"{wrong or 'ok'}\n".encode()
            return 404, TEXT, b"/metrics, /healthz and /readyz are here\n"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a scrape every few seconds is not news."""

    return Handler
