"""/metrics, /healthz and /readyz of a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.errors import SettingsError

Check = Callable[[], str | None]
"""What is wrong, in a sentence; None where nothing is."""


class HealthServer:
    """Serves from a thread of its own until `close`. Port 0 takes a free one: see `port`.

    healthy: the loop makes progress. ready: partitions are assigned and restored. Each answers 200, or
    503 with the sentence. Raises `SettingsError` where the address cannot be had.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, healthy: Check, ready: Check
    ) -> None:
        checks = {"/healthz": healthy, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] == "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(200, encode(registry), content_type)
                elif check := checks.get(self.path):
                    wrong = check()
                    self._answer(503 if wrong else 200, f"{wrong or 'ok'}\n".encode(), "text/plain")
                else:
                    self._answer(404, b"/metrics, /healthz and /readyz are here\n", "text/plain")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: a scrape every few seconds is not news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise SettingsError(f"metrics_port {port}: {error.strerror}; another, or 0 for none?") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
