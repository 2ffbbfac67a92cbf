"""Sink: where records go. One interface, one file for each client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stream.records import Outgoing

CLOSE_TIMEOUT_S = 30.0
FULL_QUEUE_WAIT_S = 0.05
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Above the topic's own limit, which the broker enforces."""


class Sink(Protocol):
    """An idempotent producer: acknowledged by all in-sync replicas, in order within a partition.

    Not thread-safe. A record that could not be delivered is an error of the next `send` or `flush`,
    never a silent loss.
    """

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        """Queue the records. Blocks while the producer's queue is full (back-pressure), drops nothing.
        `on_acknowledged` is called once, on the thread inside `send`, `service` or `flush`, after the
        broker has acknowledged the whole of `outgoing`; never if a record of it failed.
        Raises `DeliveryError`."""

    def service(self) -> None:
        """Run the acknowledgements that have arrived. Does not block. Raises `DeliveryError`."""

    def flush(self, timeout: float) -> None:
        """Block until every record sent is acknowledged. Raises `DeliveryError` where one failed or
        `timeout` seconds passed."""

    def close(self) -> None:
        """Flush for a bounded time, then release everything. Repeatable."""
