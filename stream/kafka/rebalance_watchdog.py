"""Watchdog: notices partitions that nobody reads, and has them read.

They come about in these ways, and none mends itself:

- A cooperative rebalance (KIP-429) first takes partitions away; its members then ask for a second one, which
  gives them out. If every static member (KIP-345) that was to ask dies in between and comes back, it gets
  what it had, without a rebalance. Any member that comes and goes makes the group rebalance.
- After its topic was gone for a moment, librdkafka may stay a member without partitions (librdkafka#4836), or
  own them and fetch nothing, since it takes what the broker says of the new topic for outdated (by the leader
  epoch, which began again). A new client is needed: the worker ends, for its supervisor to start it again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto

from stream.background import WATCHDOG, Threads
from stream.errors import BrokerError
from stream.kafka.source import Source

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
MOST_RESTS = 11
JITTER = 0.2
MEMBERSHIP_S = 20.0
POLL_S = 0.1
NUDGE_AFTER = 2
END_AFTER = 5
NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a topic's partitions. members: what each of the group owns. stable: it is not rebalancing."""

    partitions: int
    members: Sequence[Set[int]]
    stable: bool

    @property
    def rebalances(self) -> bool:
        return bool(self.members) and not self.stable

    @property
    def unowned(self) -> frozenset[int]:
        """Partitions that no member owns; none while the group rebalances."""
        if self.rebalances:
            return NONE
        return frozenset(range(self.partitions)).difference(*self.members)

    def rank(self, own: Set[int]) -> int:
        """How many members own a lower partition than the lowest of `own`: each has another."""
        lowest = min(own, default=self.partitions)
        return sum(min(member, default=self.partitions) < lowest for member in self.members)


class Action(Enum):
    WAIT = auto()
    NUDGE = auto()
    END = auto()


class Suspicion:
    """What a member concludes from its looks at the group, one after the other.

    A static member has the group rebalance when it sees the same unowned partitions a second time; each
    further member one look later, so that one of them does it; and each time after twice as many looks.
    A member that owns nothing ends after `END_AFTER` looks, a static one not before it has tried that.
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
        if not own and self._seen >= END_AFTER and (self._nudges or not self._static):
            return Action.END
        if self._static and self._seen >= (NUDGE_AFTER + group.rank(own)) << self._nudges:
            self._nudges += 1
            return Action.NUDGE
        return Action.WAIT


class Blindness:
    """Whether records wait that this member should read, and does not.

    reading: the partitions that it reads now. polled: how many records it has polled. unread: for each
    partition with records that the group has not committed, the offset of the first; asks the brokers.
    patience: seconds without a record after which all that was polled is committed.
    """

    def __init__(
        self,
        reading: Callable[[], Set[int]],
        polled: Callable[[], int],
        unread: Callable[[], Mapping[int, int]],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reading, self._polled, self._ask = reading, polled, unread
        self._patience, self._clock = patience, clock
        self._before, self._since = -1, 0.0
        self._unread: Mapping[int, int] = {}

    @property
    def suspected(self) -> bool:
        return bool(self._unread)

    def look(self) -> list[int]:
        """Partitions in which the first record to read is the same as in the last look, though nothing was
        polled since. Blocks; raises `BrokerError`."""
        polled, reading, now = self._polled(), frozenset(self._reading()), self._clock()
        if polled != self._before or not reading:
            self._before, self._since, self._unread = polled, now, {}
        if now - self._since < self._patience:
            return []
        last, self._unread = (
            self._unread,
            {partition: at for partition, at in self._ask().items() if partition in reading},
        )
        if self._polled() != polled:
            return []
        return sorted(partition for partition, at in self._unread.items() if last.get(partition) == at)


class Watchdog:
    """Looks at the group on a thread of its own, from `open` on: every `LOOK_EVERY_S` seconds while something
    is wrong or changes, otherwise ever less often, finally once a minute. A member that is not static looks
    at the group only while it owns nothing.

    look: asks the brokers. owned: the partitions of this member. blind: whether it reads what it should.
    make_member: a source of the group, not a static member. threads: where the thread's failures show.
    """

    def __init__(
        self,
        topic: str,
        look: Callable[[], Ownership],
        owned: Callable[[], Set[int]],
        blind: Blindness,
        make_member: Callable[[], Source],
        threads: Threads,
        *,
        static: bool,
    ) -> None:
        self._topic, self._look, self._owned = topic, look, owned
        self._blind, self._make_member, self._threads = blind, make_member, threads
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
        if seen is None or seen.rebalances:
            return "joining the group"
        if seen.unowned:
            return f"nobody owns partitions {sorted(seen.unowned)}, and the group does not give them out"
        return f"the group has {len(seen.members)} members for {seen.partitions} partitions"

    def _run(self) -> None:
        before, rests, rested = frozenset(self._owned()), 0, 0
        while not self._closed.wait(LOOK_EVERY_S * random.uniform(1 - JITTER, 1 + JITTER)):
            own = frozenset(self._owned())
            changed, before, rested = own != before, own, rested + 1
            if changed or rested > rests:
                wrong = self._looked(own)
                rests, rested = 0 if wrong or changed else min(2 * rests + 1, MOST_RESTS), 0
            self._threads.alive(WATCHDOG)

    def _looked(self, own: Set[int]) -> bool:
        """Look at the group and act on it. Returns whether something is wrong."""
        try:
            if own and not self._static:
                self._seen, self._orphaned_since = None, None
                wrong = False
            else:
                wrong = self._looked_at_group(own)
            if (stuck := self._blind.look()) and not self._look().rebalances:
                self._end(BrokerError(_BLIND.format(self._topic, stuck)))
            return wrong or self._blind.suspected
        except BrokerError as error:
            log.info("the group was not looked at: %s", error)
            self._orphaned_since = None
            return False

    def _looked_at_group(self, own: Set[int]) -> bool:
        """Whether partitions are unowned."""
        self._seen = self._look()
        action = self._suspicion.judge(own, self._seen)
        self._note_orphaned(own)
        if action is Action.NUDGE:
            self._nudge()
        elif action is Action.END:
            self._end(BrokerError(_ORPHANED.format(self._topic, sorted(self._suspicion.unowned))))
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
    """A `RebalanceListener`. done: the group has assigned its partitions, if any."""

    done = False

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.done = True

    def on_revoked(self, partitions: Sequence[int]) -> None: ...
    def on_lost(self, partitions: Sequence[int]) -> None: ...


_ORPHANED = (
    "{0}: nobody owns partitions {1}, yet the group gives this worker none; it ends, to be started again"
)
_BLIND = (
    "{0}: this worker owns partitions {1}, in which events wait, and its client reads none; it ends, to be "
    "started again"
)
