"""Reading until something is true, and a listener that remembers what it was told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.columns.records import Outgoing, Records
from stream.kafka.source import Source

PATIENCE_S = 20.0
PARTITIONS = 4
EARLIEST, END = -2, -1


def outgoing(topic: str, values: Sequence[bytes | None], partition: int = 0) -> Outgoing:
    keys = [b"k%d" % row for row in range(len(values))]
    return Outgoing(topic, values, keys, np.full(len(values), partition, np.int32))


def read(source: Source, rows: int, max_records: int = 4096) -> list[Records]:
    """Polls until `rows` records came."""
    polled: list[Records] = []
    poll_until(source, lambda: sum(map(len, polled)) >= rows, polled, max_records)
    return polled


def values_of(polled: list[Records]) -> list[bytes | None]:
    return [value for records in polled for value in records.values]


def poll_until(
    source: Source,
    done: Callable[[], bool],
    polled: list[Records] | None = None,
    max_records: int = 4096,
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        records = source.poll(max_records, 0.1)
        if polled is not None and len(records):
            polled.append(records)


@dataclass
class Remembering:
    """events: ("assigned" | "revoked" | "lost", partitions), in order. owned: as the events leave it."""

    on_revoke: Callable[[Sequence[int]], None] = lambda partitions: None
    events: list[tuple[str, list[int]]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    owned: set[int] = field(default_factory=set)

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self._remember("assigned", partitions)
        self.owned.update(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self._remember("revoked", partitions)
        self.on_revoke(partitions)
        self.owned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        self._remember("lost", partitions)
        self.owned.difference_update(partitions)

    def _remember(self, what: str, partitions: Sequence[int]) -> None:
        self.events.append((what, list(partitions)))
        self.threads.add(threading.get_ident())
