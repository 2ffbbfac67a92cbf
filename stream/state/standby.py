"""Standby: follows the changelog of the partitions that this worker does not own, on a thread of its own, so
that a takeover has only the end of it to read.

    followed ──own──▶ set aside ──take──▶ restored from there
        ▲                                       │
        └────────────────follow─────────────────┘

The thread alone touches the replicas; the others leave it messages. Kafka's own assignors know nothing of
replicas and give a partition to any member: only a worker that follows all of them is sure to have it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from queue import Empty, SimpleQueue

from stream.background import STANDBY, Threads
from stream.errors import BrokerUnavailable, TopicError
from stream.state.replica import POLL_RECORDS, POLL_S, Reader, Replica, fold, read_on

log = logging.getLogger(__name__)

ANSWER_S = 2.0
RETRY_S = 1.0
LOOK_EVERY_S = 1.0

Taken = dict[int, Replica]


class Standby:
    """Does nothing until `open`. make_reader: a source outside of group management that reads committed
    records only. topic: the changelog's. threads: what shows the thread's failures; after one it begins again
    with nothing.

    followed, lag: partitions followed, and records in them not yet read; as last known of all of them."""

    def __init__(self, make_reader: Callable[[], Reader], topic: str, threads: Threads) -> None:
        self._make_reader, self._topic, self._threads = make_reader, topic, threads
        self._messages: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._followed: Taken = {}
        self._aside: Taken = {}
        self._assigned: frozenset[int] = frozenset()
        self._owned: set[int] = set()  # the same, as far as the thread has heard of it
        self._changed = True
        self._opened = False
        self._closed = threading.Event()
        self.followed = self.lag = 0

    def open(self) -> None:
        """Begin to follow every partition that is not owned."""
        self._opened = True
        self._threads.keep(STANDBY, self._run, self._closed)

    def own(self, partitions: Iterable[int]) -> None:
        """This worker's from now on: set aside what is known of them. Does not block."""
        self._assigned |= (wanted := frozenset(partitions))
        self._tell(self._set_aside, wanted)

    def follow(self, partitions: Iterable[int]) -> None:
        """No longer this worker's. Does not block."""
        self._assigned -= (unwanted := frozenset(partitions))
        self._tell(self._let_go, unwanted)

    def take(self, partitions: Iterable[int]) -> Taken:
        """What was set aside of these, for the caller to keep. Blocks up to `ANSWER_S`; a thread that is down
        or does not answer gives nothing."""
        if not self._opened or STANDBY in self._threads.down:
            return {}
        answer: SimpleQueue[Taken] = SimpleQueue()
        self._tell(lambda wanted: answer.put(_popped(self._aside, wanted)), frozenset(partitions))
        try:
            return answer.get(timeout=ANSWER_S)
        except Empty:
            return {}

    def close(self) -> None:
        """End the thread soon. Repeatable."""
        self._closed.set()

    def _tell(self, message: Callable[[frozenset[int]], None], partitions: frozenset[int]) -> None:
        if self._opened:
            self._messages.put(lambda: message(partitions))

    def _set_aside(self, partitions: frozenset[int]) -> None:
        self._owned |= partitions
        self._aside |= _popped(self._followed, partitions)
        self._changed = True

    def _let_go(self, partitions: frozenset[int]) -> None:
        self._owned -= partitions
        _popped(self._aside, partitions)
        self._changed = True

    def _run(self) -> None:
        self._followed, self._aside, self._owned = {}, {}, set(self._assigned)
        self.followed = self.lag = 0
        while not self._closed.is_set():
            try:
                with closing(self._make_reader()) as reader:
                    self._changed = True
                    self._follow(reader)
            except BrokerUnavailable as error:
                log.warning("standing by waits for the broker: %s", error)
            self._wait()

    def _follow(self, reader: Reader) -> None:
        looked = 0.0
        while not self._closed.is_set():
            self._read_messages()
            if self._changed:
                self._choose(reader)
            fold(reader.poll(POLL_RECORDS, POLL_S), self._followed)
            if (now := time.monotonic()) - looked >= LOOK_EVERY_S:
                looked = now
                self._tell_lag(reader.lag())
                self._threads.alive(STANDBY)

    def _tell_lag(self, lags: Mapping[int, int]) -> None:
        if lags.keys() >= self._followed.keys():
            self.followed, self.lag = len(self._followed), sum(lags.values())

    def _choose(self, reader: Reader) -> None:
        if not (count := reader.partition_count(self._topic)):
            raise TopicError(f"{self._topic} is missing")
        partitions = set(range(count)) - self._owned
        self._followed = {part: self._followed.get(part) or Replica() for part in sorted(partitions)}
        read_on(reader, self._topic, self._followed)
        self._changed = False

    def _read_messages(self) -> None:
        while True:
            try:
                message = self._messages.get_nowait()
            except Empty:
                return
            message()

    def _wait(self) -> None:
        """Wait before the next try, without making a caller wait while no broker answers."""
        until = time.monotonic() + RETRY_S
        while time.monotonic() < until and not self._closed.wait(POLL_S):
            self._read_messages()


def _popped(replicas: Taken, partitions: Iterable[int]) -> Taken:
    return {part: replicas.pop(part) for part in partitions if part in replicas}
