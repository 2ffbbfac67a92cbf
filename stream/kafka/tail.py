"""Reading topics in the background, for what people look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import closing
from queue import Empty, SimpleQueue

from stream.background import raise_failure, spawn
from stream.columns.records import Records
from stream.kafka.admin import partition_count
from stream.kafka.clients import make_admin, make_source
from stream.kafka.source import EARLIEST
from stream.settings import Settings

BATCH = 8192
MOST_HELD = 200_000
"""Records that wait to be taken; beyond, nothing more is read."""
POLL_S = 0.1
QUIET_S = 5.0
"""A partition that ends in what is not for readers (transaction markers) never says that it is at its end."""
JOIN_TIMEOUT_S = 5.0


def partitions(settings: Settings, topic: str) -> int:
    """How many partitions the topic has. Raises `TopicError` if it is missing, `BrokerError`."""
    with closing(make_admin(settings)) as admin:
        return partition_count(admin, topic)


class Tail:
    """Follows a topic on a thread of its own, outside of any group.

    last: how many of the records that are already in each partition to read (None: all of them).
    caught_up: set when all those have been read.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partitions: int,
        *,
        last: int | None = None,
        with_headers: bool = False,
    ) -> None:
        self.caught_up = threading.Event()
        self._source = make_source(settings, with_headers=with_headers)
        self._arrived: SimpleQueue[tuple[float, Records]] = SimpleQueue()
        self._read = self._taken = 0
        self._stop = threading.Event()
        numbers = range(partitions)
        self._source.assign(topic, dict.fromkeys(numbers, EARLIEST))
        begins, ends = self._source.beginning_offsets(numbers), self._source.end_offsets(numbers)
        starts = {n: begins[n] if last is None else max(begins[n], ends[n] - last) for n in numbers}
        self._source.assign(topic, starts)
        self._behind = {number: ends[number] for number in numbers if starts[number] < ends[number]}
        self._following = spawn(f"tail of {topic}", self._follow)

    def drain(self) -> Iterable[tuple[float, Records]]:
        """What has arrived since the last call: `time.monotonic()` of the arrival, and the records. Does not
        block. Raises the `BrokerError` or `ThreadError` that ended the reading."""
        while True:
            try:
                arrived, records = self._arrived.get_nowait()
            except Empty:
                break
            self._taken += len(records)
            yield arrived, records
        raise_failure(self._following)

    def close(self) -> None:
        self._stop.set()
        wait([self._following], JOIN_TIMEOUT_S)
        self._source.close()

    def _follow(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            if self._read - self._taken >= MOST_HELD:
                self._stop.wait(POLL_S)
                continue
            records = self._source.poll(BATCH, POLL_S)
            if len(records):
                last = time.monotonic()
                self._read += len(records)
                self._arrived.put((last, records))
            if self._at_end(records) or time.monotonic() - last > QUIET_S:
                self.caught_up.set()

    def _at_end(self, records: Records) -> bool:
        """Whether all that was there at the start has been read, these records included: in a topic that is
        written to without a pause there is always something left to read."""
        for number, offset in zip(records.partitions.tolist(), records.offsets.tolist(), strict=True):
            if offset + 1 >= self._behind.get(number, offset + 2):
                del self._behind[number]
        lag = {} if len(records) else self._source.lag()
        return all(lag.get(number) == 0 for number in self._behind)
