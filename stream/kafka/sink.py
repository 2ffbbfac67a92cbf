"""Sink: where records go. One interface, one file for each client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from stream.columns.records import Outgoing

CLOSE_TIMEOUT_S = 30.0
FULL_QUEUE_WAIT_S = 0.05
RESET_TIMEOUT_S = 5.0
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
        """Block until every record sent is acknowledged. Raises `DeliveryError` if one failed or
        `timeout` seconds passed."""

    def reset(self) -> None:
        """Give up what is not acknowledged and begin again with a new producer, which also ends an earlier
        failure. Blocks. Raises `BrokerUnavailable`, `RefusalError` if the cluster refuses for good."""

    def close(self, *, flush: bool = True) -> None:
        """Flush for a bounded time, or discard what is not acknowledged unless `flush`; then release
        everything. Repeatable."""


class TransactionalSink(Sink, Protocol):
    """A sink whose records become visible together with the input offsets of which they were made.

    A transaction begins with the first `send` after a commit. `on_acknowledged` is called once it is
    committed. Nothing may be sent before the first `reset`.
    """

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        """Begin to end the transaction: all that was sent, the records that `last` makes, and for `topic` the
        offsets of the next records to read, as the member `group` (`Source.group_metadata`). `last` is called
        once, while the offsets may be on their way already; `on_committed` as `on_acknowledged` of `send`.
        Does not wait for the end; the next `send`,
        `commit` or `flush` does, and raises `CommitError` if it was not committed or if its outcome is
        unknown: then only `reset` is left to do. Raises `DeliveryError`."""

    def abort(self) -> None:
        """End the transaction, if one is open, so that nothing of it is ever visible. Blocks. Raises
        `BrokerError`; then only `reset` is left to do."""

    def reset(self) -> None:
        """As `Sink.reset`: the broker aborts what is open under this transactional id, here or in a process
        that had it before, and takes nothing of it any more."""
