"""Notices that a topic was deleted and made again under the worker, so that its offsets mean other records,
or that it got more partitions, so that patients move away from their states."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from stream.background import TOPICS, Threads
from stream.errors import BrokerError, GapError, TopicError, describe
from stream.kafka.admin import UNKNOWN, Topic

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


class Looking(Protocol):
    """What is needed of an `Admin`."""

    def topics(self, names: Sequence[str]) -> Mapping[str, Topic]: ...
    def close(self) -> None: ...


class Identity:
    """Looks every `LOOK_EVERY_S` seconds, on a thread of its own, whether topics are still those that they
    were at the start, with as many partitions.

    known: their ids then; one that is `UNKNOWN` is not looked at. connect: makes the client that asks; it is
    kept until it fails. threads: where the thread's failures show.
    """

    def __init__(self, known: Mapping[str, str], connect: Callable[[], Looking], threads: Threads) -> None:
        self._known = {topic: id for topic, id in known.items() if id != UNKNOWN}
        self._partitions: dict[str, int] = {}
        self._connect, self._threads = connect, threads
        self._closed = threading.Event()

    def open(self, end: Callable[[BrokerError], None]) -> None:
        """Begin to look. end: ends the worker with an error; called from another thread."""
        self._end = end
        if self._known:
            self._threads.keep(TOPICS, self._run, self._closed)

    def close(self) -> None:
        """End the thread soon. Repeatable."""
        self._closed.set()

    def changed(self, admin: Looking) -> BrokerError | None:
        """What became of the first topic that is another now, or has more partitions than when it was first
        looked at. A topic that is missing may come back. Raises `BrokerError`."""
        topics = admin.topics(list(self._known))
        for topic, known in self._known.items():
            if (now := topics.get(topic)) is None:
                continue
            if now.id != known:
                return GapError(topic, None, MADE_AGAIN)
            before = self._partitions.setdefault(topic, now.partitions)
            if now.partitions != before:
                return TopicError(GREW.format(topic, before, now.partitions))
        return None

    def _run(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                with closing(self._connect()) as admin:
                    self._look_with(admin)
            except BrokerError as error:
                log.info("the topics were not looked at: %s", describe(error))
            self._threads.alive(TOPICS)

    def _look_with(self, admin: Looking) -> None:
        while not self._closed.is_set():
            if (error := self.changed(admin)) is not None:
                self._closed.set()
                self._end(error)
            self._threads.alive(TOPICS)
            self._closed.wait(LOOK_EVERY_S)


MADE_AGAIN = "the topic was deleted and made again while the worker ran: its offsets are of other records now"
GREW = (
    "{0} had {1} partitions and has {2} while the worker runs: keys move to other partitions, away from "
    "their patients' states; the worker ends, and at its next start says what to do"
)
