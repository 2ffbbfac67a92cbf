"""A sink that lets nothing out: for a worker that only makes states."""

from __future__ import annotations

from collections.abc import Callable

from stream.columns.records import Outgoing
from stream.kafka.sink import Sink


class ChangelogOnlySink:
    """Drops every record, and acknowledges it when the wrapped sink's current batch is acknowledged."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._sink.send(Outgoing(outgoing.topic, [], []), on_acknowledged)

    def service(self) -> None:
        self._sink.service()

    def flush(self, timeout: float) -> None:
        self._sink.flush(timeout)

    def reset(self) -> None:
        self._sink.reset()

    def close(self, *, flush: bool = True) -> None:
        self._sink.close(flush=flush)
