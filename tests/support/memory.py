"""A source and a sink in memory, and a whole worker between them: every stage but the broker."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from stream.columns.records import Outgoing, Records
from stream.kafka import clients
from stream.kafka.source import RebalanceListener
from stream.settings import load
from stream.worker.worker import Worker

Record = tuple[bytes | None, bytes | None]
"""Key and value."""


class MemorySource:
    """A `Source` of one partition that gives `log` from offset 0 and sets `stop` after the last record. It
    answers for an empty changelog too."""

    def __init__(self, log: Iterator[Record], stop: threading.Event) -> None:
        self._log, self._stop = log, stop
        self._listener: RebalanceListener | None = None
        self._owned: list[int] = []
        self._next = 0
        self._started = False
        self._topic = ""
        self.committed_offset = 0

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self._topic, self._listener, self._started = topic, listener, not held

    def start(self, offsets: Mapping[int, int]) -> None:
        assert offsets == {0: 0}
        self._started = True

    def poll(self, max_records: int, timeout: float) -> Records:
        if self._listener and not self._owned:
            self._owned = [0]
            self._listener.on_assigned([0])
        rows = list(itertools.islice(self._log, max_records)) if self._started else []
        if self._started and len(rows) < max_records:
            self._stop.set()
        offsets = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        return Records(
            self._topic,
            [value for _, value in rows],
            [key for key, _ in rows],
            np.zeros(len(rows), np.int32),
            offsets,
            np.zeros(len(rows), np.int64),
        )

    def assignment(self) -> list[int]:
        return self._owned

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None: ...
    def hold(self, partitions: Sequence[int]) -> None: ...

    def ended(self) -> set[int]:
        return {0}

    def partition_count(self, topic: str) -> int:
        return 1

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {}

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.committed_offset = offsets[0]

    def lag(self) -> dict[int, int]:
        return {}

    def close(self) -> None:
        if self._listener and self._owned:
            self._owned = []
            self._listener.on_revoked([0])


class MemorySink:
    """A `Sink` that gives every record but the changelog's to `take` and acknowledges it at once."""

    def __init__(self, take: Callable[[Outgoing], None]) -> None:
        self._take = take

    def send(self, outgoing: Outgoing, on_acknowledged: Callable[[], None] | None = None) -> None:
        if not outgoing.topic.endswith("-changelog"):
            self._take(outgoing)
        if on_acknowledged:
            on_acknowledged()

    def service(self) -> None: ...
    def flush(self, timeout: float) -> None: ...
    def reset(self) -> None: ...
    def close(self, *, flush: bool = True) -> None: ...


def run_through(log: Iterator[Record], take: Callable[[Outgoing], None], **flags: Any) -> tuple[Worker, int]:
    """Run a worker over `log` to its end; its outputs go to `take`. Also the offset that it committed."""
    stop = threading.Event()
    source = MemorySource(log, stop)

    def make_source(*_: object, to_end: bool = False, **__: object) -> MemorySource:
        return MemorySource(iter(()), threading.Event()) if to_end else source

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(clients.SOURCES, "librdkafka", make_source)
        patch.setitem(clients.SINKS, "librdkafka", lambda *_: MemorySink(take))
        own = {"metrics_port": 0, "device": "cpu", "processing_guarantee": "at_least_once"}
        worker = Worker(load(own | flags, environment={}))
        worker.run(stop)
    return worker, source.committed_offset


def as_log(outgoing: Outgoing) -> Sequence[Record]:
    return list(zip(outgoing.keys, outgoing.values, strict=True))
