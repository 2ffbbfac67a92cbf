"""Watchdog: notices partitions that no member of the group owns, and has them given out.

They come about in two ways, and neither mends itself:

- A cooperative rebalance (KIP-429) first takes partitions away; its members then ask for a second one, which
  gives them out. If every static member (KIP-345) that was to ask dies in between and comes back, it gets
  what it had, without a rebalance. Any member that comes and goes makes the group rebalance.
- After its topic was gone for a moment, librdkafka may stay a member without partitions (librdkafka#4836). If
  it subscribes again, it gets them. A worker that still gets none ends, for its supervisor to start it again:
  it owns nothing that could be lost.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto

from stream.background import WATCHDOG, Threads
from stream.consume.source import Source
from stream.errors import BrokerError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
MOST_RESTS = 11
JITTER = 0.2
MEMBERSHIP_S = 20.0
POLL_S = 0.1
NUDGE_AFTER = 2
REJOIN_AFTER = 3
END_AFTER = 7
NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a topic's partitions. members: what each of the group owns. stable: it is not rebalancing."""

    partitions: int
    members: Sequence[Set[int]]
    stable: bool

    @property
    def unowned(self) -> frozenset[int]:
        """Partitions that no member owns; none while the group rebalances."""
        if self.members and not self.stable:
            return NONE
        return frozenset(range(self.partitions)).difference(*self.members)

    def rank(self, own: Set[int]) -> int:
        """How many members own a lower partition than the lowest of `own`: each has another."""
        lowest = min(own, default=self.partitions)
        return sum(min(member, default=self.partitions) < lowest for member in self.members)


class Action(Enum):
    WAIT = auto()
    NUDGE = auto()
    REJOIN = auto()
    END = auto()


class Suspicion:
    """What a member concludes from its looks at the group, one after the other.

    A static member has the group rebalance when it sees the same unowned partitions a second time; each
    further member one look later, so that one of them does it; and each time after twice as many looks.
    A member that owns nothing joins again after `REJOIN_AFTER` looks, and ends after `END_AFTER`.
    """

    def __init__(self, static: bool) -> None:
        self._static = static
        self._nudges = self._seen = 0
        self.unowned = NONE

    def judge(self, own: Set[int], group: Ownership) -> Action:
        """own: the partitions of this member."""
        unowned = group.unowned
        self._seen = self._seen + 1 if unowned & self.unowned else int(bool(unowned))
        self.unowned = unowned
        if not unowned:
            self._nudges = 0
        if not own and self._seen >= END_AFTER:
            return Action.END
        if not own and self._seen == REJOIN_AFTER:
            return Action.REJOIN
        if self._static and self._seen >= (NUDGE_AFTER + group.rank(own)) << self._nudges:
            self._nudges += 1
            return Action.NUDGE
        return Action.WAIT


class Watchdog:
    """Looks at the group on a thread of its own, from `open` on: every `LOOK_EVERY_S` seconds while something
    is wrong or changes, else ever more seldom, in the end once a minute. A member that is not static looks
    only while it owns nothing.

    look: asks the brokers. owned: the partitions of this member. rejoin: has it join again. make_member: a
    source of the group, not a static member. threads: where the thread's failures show.
    """

    def __init__(
        self,
        topic: str,
        look: Callable[[], Ownership],
        owned: Callable[[], Set[int]],
        rejoin: Callable[[], None],
        make_member: Callable[[], Source],
        threads: Threads,
        *,
        static: bool,
    ) -> None:
        self._topic, self._look, self._owned = topic, look, owned
        self._rejoin, self._make_member, self._threads = rejoin, make_member, threads
        self._static = static
        self._suspicion = Suspicion(static)
        self._closed = threading.Event()
        self._seen: Ownership | None = None
        self._orphaned_since: float | None = None

    def open(self, end: Callable[[BrokerError], None]) -> None:
        """Begin to look. end: ends the worker with an error; called from another thread."""
        self._end = end
        self._threads.keep(WATCHDOG, self._run, self._closed)

    def close(self) -> None:
        """End the thread soon. Repeatable."""
        self._closed.set()

    def orphaned(self) -> tuple[float, list[int]]:
        """For how many seconds this member has owned nothing although nobody owns these partitions."""
        since = self._orphaned_since
        return (time.monotonic() - since, sorted(self._suspicion.unowned)) if since else (0.0, [])

    def why_nothing(self) -> str:
        """Why this member owns no partition, as far as it is known."""
        seen = self._seen
        if seen is None or (seen.members and not seen.stable):
            return "joining the group"
        if seen.unowned:
            return f"nobody owns partitions {sorted(seen.unowned)}, and the group does not give them out"
        return f"the group has {len(seen.members)} members for {seen.partitions} partitions"

    def _run(self) -> None:
        before, rests, rested = frozenset(self._owned()), 0, 0
        while not self._closed.wait(LOOK_EVERY_S * random.uniform(1 - JITTER, 1 + JITTER)):
            own = frozenset(self._owned())
            changed, before, rested = own != before, own, rested + 1
            if own and not self._static:
                self._seen, self._orphaned_since = None, None
            elif changed or rested > rests:
                wrong = self._looked(own)
                rests, rested = 0 if wrong or changed else min(2 * rests + 1, MOST_RESTS), 0
            self._threads.alive(WATCHDOG)

    def _looked(self, own: Set[int]) -> bool:
        """Look at the group, and do what is to be done; whether partitions are unowned."""
        try:
            self._seen = self._look()
            action = self._suspicion.judge(own, self._seen)
            self._note_orphaned(own)
            if action is Action.NUDGE:
                self._nudge()
            elif action is Action.REJOIN:
                log.warning(_JOINS_AGAIN, sorted(self._suspicion.unowned))
                self._rejoin()
            elif action is Action.END:
                self._end(BrokerError(_ORPHANED.format(self._topic, sorted(self._suspicion.unowned))))
        except BrokerError as error:
            log.info("the group was not looked at: %s", error)
        return bool(self._suspicion.unowned)

    def _note_orphaned(self, own: Set[int]) -> None:
        if own or not self._suspicion.unowned:
            self._orphaned_since = None
        elif self._orphaned_since is None:
            self._orphaned_since = time.monotonic()

    def _nudge(self) -> None:
        """Be a further member of the group for a moment."""
        log.warning(
            "nobody owns partitions %s: the group is made to rebalance", sorted(self._suspicion.unowned)
        )
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


_JOINS_AGAIN = "nobody owns partitions %s, and this worker owns none: it joins the group again"
_ORPHANED = (
    "{0}: nobody owns partitions {1}, yet the group gives this worker none; it ends, to be started again"
)
