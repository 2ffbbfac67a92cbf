"""Sinks on a cluster in memory: what `send` is given is in a log once it is delivered, or committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from stream.columns.records import Outgoing
from stream.errors import CommitError, DeliveryError
from stream.kafka.memory.cluster import Cluster, Died, Record, rows


class MemorySink:
    """A `Sink` whose records are in the log, in order, once they are flushed or serviced; a crash loses what
    is queued. Of the next changelog records `cluster.torn` are delivered, and then it dies."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._queued: list[tuple[Outgoing, Callable[[], None] | None]] = []

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._queued.append((outgoing, on_acknowledged))

    def service(self) -> None:
        self._deliver()

    def flush(self, timeout: float) -> None:
        self._deliver()

    def reset(self) -> None:
        self._queued = []

    def close(self, *, flush: bool = True) -> None:
        if flush:
            self._deliver()

    def _deliver(self) -> None:
        while self._queued:
            outgoing, acknowledged = self._queued[0]
            records = rows(outgoing)
            if self._cluster.torn is not None and outgoing.topic.endswith("changelog"):
                torn, self._cluster.torn, self._queued = self._cluster.torn, None, []
                self._cluster.append(outgoing.topic, records[:torn])
                raise Died
            self._cluster.append(outgoing.topic, records)
            self._queued.pop(0)
            if acknowledged:
                acknowledged()


class MemoryTransactionalSink:
    """A `TransactionalSink`. A transaction is visible as a whole or never; the next call after `commit`
    reports its outcome. Nothing may be sent before the first `reset`."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster, self._id = cluster, transactional_id
        self._epoch: int | None = None
        self._records: list[tuple[str, list[Record]]] = []
        self._calls: list[Callable[[], None]] = []
        self._outcome: str | None = None

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        self._finish()
        if self._epoch is None:
            raise DeliveryError("nothing may be sent before a reset")
        self._records.append((outgoing.topic, rows(outgoing)))
        if on_acknowledged:
            self._calls.append(on_acknowledged)

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        self.send(last(), on_committed)
        outcome: str = self._cluster.next_commits.pop(0) if self._cluster.next_commits else "committed"
        if self._epoch != self._cluster.epochs[self._id]:
            outcome = "fenced"
        if outcome in ("committed", "unknown"):
            try:
                self._cluster.commit_offsets(offsets, group)
            except CommitError:
                outcome = "refused by the group"
            else:
                for written, records in self._records:
                    self._cluster.append(written, records)
        self._records, self._outcome = [], outcome

    def abort(self) -> None:
        self._finish()
        self._records, self._calls = [], []

    def service(self) -> None:
        self._finish()

    def flush(self, timeout: float) -> None:
        self._finish()

    def reset(self) -> None:
        self.close()
        self._cluster.epochs[self._id] += 1
        self._epoch = self._cluster.epochs[self._id]

    def close(self, *, flush: bool = True) -> None:
        with suppress(CommitError):
            self.abort()
        self._records, self._calls, self._epoch = [], [], None

    def _finish(self) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return
        calls, self._calls = self._calls, []
        if outcome != "committed":
            self._epoch = None
            raise CommitError(f"the epoch is {outcome}")
        for call in calls:
            call()
