"""Nudge: has a group rebalance of which partitions belong to nobody.

A cooperative rebalance (KIP-429) first takes partitions away, and its members then ask for a second one that
gives them out. With static membership (KIP-345) a member that died in between and comes back gets what it was
given last, without a rebalance: where all died that were to ask, the partitions stay nobody's for good. Any
member that comes and goes makes the group rebalance.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from stream.consume.source import Source
from stream.errors import VitalstreamError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
MEMBERSHIP_S = 20.0
POLL_S = 0.1


class Nudge:
    """Looks every `LOOK_EVERY_S` seconds, on a thread of its own, and nudges what it sees twice in a row.

    unassigned: the topic's partitions that no member owns, none while the group rebalances.
    make_member: a source of the group, not a static member.
    """

    def __init__(
        self, topic: str, unassigned: Callable[[], set[int]], make_member: Callable[[], Source]
    ) -> None:
        self._topic, self._unassigned, self._make_member = topic, unassigned, make_member
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="nudge", daemon=True).start()

    def close(self) -> None:
        """End the thread soon. Repeatable."""
        self._closed.set()

    def _run(self) -> None:
        before: set[int] = set()
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                now = self._unassigned()
                if now & before:
                    log.warning("partitions %s belong to nobody: the group is made to rebalance", sorted(now))
                    self._come_and_go()
                    now = set()
                before = now
            except VitalstreamError as error:
                log.info("the group was not looked at: %s", error)

    def _come_and_go(self) -> None:
        joined, until = _Joined(), time.monotonic() + MEMBERSHIP_S
        with closing(self._make_member()) as member:
            member.subscribe(self._topic, joined, held=True)
            while not joined.done and time.monotonic() < until and not self._closed.is_set():
                member.poll(1, POLL_S)


class _Joined:
    """A `RebalanceListener`. done: the group has told it which partitions are its own, if any."""

    done = False

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.done = True

    def on_revoked(self, partitions: Sequence[int]) -> None: ...
    def on_lost(self, partitions: Sequence[int]) -> None: ...
