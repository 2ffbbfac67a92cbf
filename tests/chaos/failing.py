"""Workers that raise or hang at their failpoints while events flow, and what becomes of each."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stream.failpoints import NAMES
from tests.chaos import crew
from tests.chaos.scene import POLL_S, Scene

ONLY = {
    "exactly_once": {"source.group_metadata", "sink.commit", "sink.commit.done"},
    "at_least_once": {"source.commit", "source.commit.done"},
}
STOPPING = {
    "rebalance.on_revoked", "rebalance.on_revoked.done", "source.close", "source.close.done", "sink.close",
    "restorer.close", "standby.close", "store.drop", "standby.follow", "sink.flush", "sink.flush.done",
}  # fmt: skip
"""Reached when a worker is stopped."""
LOSING = {"rebalance.on_lost", "rebalance.on_lost.done"}
"""Reached when a worker was stopped past its session."""
STANDING_BY = {name for name in NAMES if name.startswith("replica.")}
"""Reached by a worker that stands by."""
OFTEN = {
    "source.poll", "source.poll.done", "batch.gather", "batch.gather.done", "polled", "decode.decode",
    "decode.decode.done", "store.admit", "store.admit.done", "before_step", "model.scan", "explain",
    "store.write_rows", "store.write_rows.done", "store.write_stays.done", "after_step", "drift.observe",
    "assess.assess", "encode.encode",
    "sink.send", "sink.send.done", "scores_sent", "commit.add", "commit.add.done", "acknowledged",
    "sink.service", "before_changelog", "sink.commit", "sink.commit.done", "source.commit",
    "source.commit.done", "store.take_changes", "store.take_changes.done", "changelog.encode",
    "changelog_sent", "offsets_sent", "committed", "source.group_metadata",
}  # fmt: skip
"""Reached in every batch or epoch: sprung at the 1st to the `LAST_REACHES`th time."""
ROAMING = 2
"""The slot of a worker that is no static member: the others rebalance when it fails."""
HANGING = (
    "source.poll", "decode.decode", "store.write_stays.done", "sink.send.done", "acknowledged",
    "offsets_sent", "rebalance.on_assigned", "rebalance.on_revoked", "restore.poll.done", "restore.handover",
    "store.install", "sink.reset", "replica.poll", "source.close", "sink.close",
)  # fmt: skip
"""Where workers hang: on the loop's thread and on each of the others."""
LAST_REACHES = 40
RAISED = ("raise", "raise", "raise=MemoryError", "raise=OSError", "raise=SystemExit", "raise=KeyError")
REACH_S = {"librdkafka": 150.0, "kafka-python": 300.0}
"""kafka-python's members wait for the session of one that is gone, and for a request that timed out."""
GRACE_S = 30.0
SESSION_S = {"librdkafka": 7.0, "kafka-python": 46.0}
WORK_S = 3.0
"""For which a worker scores before it is stopped or tossed."""
WENT_ON_S = {"raise": 6.0, "hang": 16.0}
"""After which a worker whose failpoint did what it was armed for, and that is alive and well, has gone on."""
UNKNOWN_S = 40.0
"""After which it must be known."""
TOSSES = 3
"""librdkafka says now `lost`, now `revoked` to a worker whose session is over."""
WENT_ON, NOT_REACHED = "went on", "not reached"


def names_for(guarantee: str) -> list[str]:
    """Every failpoint that a worker with this guarantee reaches."""
    others = set().union(*(names for one, names in ONLY.items() if one != guarantee))
    return sorted(NAMES.keys() - others)


def fail_at_each(
    scene: Scene, rng: random.Random, slots: Sequence[int], names: Iterable[str], act: str
) -> None:
    """A worker fails at each of `names` once, those of `slots` at the same time; act: `raise` or `hang`. The
    next worker in a slot restores what the last one left; in the end all run on without a failpoint."""
    left = rng.sample(sorted(names), len(set(names)))
    failing: dict[int, _Failing] = {}
    scene.crew.stop(*set(slots) & set(scene.crew.running()))
    while left or failing:
        for slot in sorted(set(slots) - failing.keys()):
            if (name := _next(left, slot)) is not None:
                failing[slot] = _Failing(scene, slot, _armed(name, act, rng))
            elif slot not in scene.crew.running():
                scene.crew.start(slot)
        for slot, one in list(failing.items()):
            if one.over():
                del failing[slot]
        scene.crew.check()
        time.sleep(POLL_S)
    for slot in set(slots) - set(scene.crew.running()):
        scene.crew.start(slot)
    scene.recover()


def _next(left: list[str], slot: int) -> str | None:
    """The next name for a worker in `slot`, taken out of `left`."""
    fits = next((one for one in left if slot % 2 or one not in STANDING_BY), None)
    if fits is not None:
        left.remove(fits)
    return fits


def _armed(name: str, act: str, rng: random.Random) -> str:
    number = rng.randint(1, LAST_REACHES) if name in OFTEN else 1
    return f"{name}:{number}:{rng.choice(RAISED) if act == 'raise' else act}"


@dataclass
class _Failing:
    """One failure, from the start of its worker to what became of it."""

    scene: Scene
    slot: int
    failpoint: str
    begun: float = field(default_factory=time.monotonic)
    sprung: float = 0.0
    restored: float = 0.0
    provoked: float = 0.0
    assignments: int = 0
    tosses: int = 0

    def __post_init__(self) -> None:
        self.name, _, self.act = self.failpoint.split(":")
        self._start()

    def over(self) -> bool:
        """Look again; whether it is known what became of it."""
        member, now = self.member, time.monotonic()
        if member.process.poll() is not None:
            return self._ended()
        if not self.sprung and member.sprung():
            self.sprung = now
        if self.sprung:
            return self._outlived()
        assert now - self.begun < REACH_S[self.scene.client], (
            f"{self.failpoint} was not reached\n{member.tail()}"
        )
        if not self.restored and crew.RESTORED in member.text():
            self.restored = now
        if self.member.frozen:
            self._thaw()
        elif self.restored and now - max(self.restored, self.provoked) > WORK_S:
            if self.tosses == TOSSES:
                self._stop()
                return self._note(NOT_REACHED)
            self._provoke()
        return False

    def _start(self) -> None:
        """At first, and again if it ended without the failure: stopped with nothing to commit, say."""
        self.member = self.scene.crew.start(self.slot, self.failpoint, static=self.slot != ROAMING)
        self.member.expected = True
        self.restored = self.provoked = 0.0

    def _provoke(self) -> None:
        """Have the failpoint reached, if the loop does not do so by itself."""
        if self.name in STOPPING and not self.provoked:
            self.member.process.send_signal(signal.SIGTERM)
        elif self.name in LOSING:
            self.tosses += 1
            self.assignments = self.scene.crew.count(crew.ASSIGNED)
            self.scene.crew.freeze(self.slot)
        self.provoked = time.monotonic()

    def _thaw(self) -> None:
        """When its session is over, and the others have its partitions."""
        past = time.monotonic() - self.provoked > SESSION_S[self.scene.client]
        if past and self.scene.crew.count(crew.ASSIGNED) > self.assignments:
            self.scene.crew.thaw(self.slot)
            self.provoked = time.monotonic()

    def _ended(self) -> bool:
        member = self.member
        if member.process.poll() == 0 and self.provoked and not member.sprung():
            self._start()
            return False
        how = self.scene.crew.inspect(member)
        if member.sprung():
            return self._note(how)
        self._start()
        return False

    def _outlived(self) -> bool:
        act, since = self.act.partition("=")[0], time.monotonic() - self.sprung
        if act == "hang" and self.name in STOPPING and since > crew.SIGTERM_S:
            self.scene.crew.kill(self.slot)
            return self._note("killed: it outlived its grace")
        if since < WENT_ON_S[act] or (since < UNKNOWN_S and not self.member.ready()):
            return False
        if since > UNKNOWN_S:
            self.scene.crew.complain(self.member, f"neither goes on nor ends\n{self.member.tail()}")
            self.scene.crew.kill(self.slot)
            return self._note("neither went on nor ended")
        self._stop()
        return self._note(WENT_ON)

    def _stop(self) -> None:
        """While others fail the group rebalances all the time: its last epoch may be another's to score."""
        self.scene.crew.stop(self.slot, grace=GRACE_S, codes=(0, crew.KAFKA))

    def _note(self, how: str) -> bool:
        report, act = self.scene.report, self.act.partition("=")[0]
        if how != NOT_REACHED:
            done = {"raise": "raises", "hang": "hangs"}[act]
            self.scene.note(done, f"slot {self.slot}: {self.failpoint}, {how}")
        report.outcomes[self.name, act] = how
        report.injected[f"{act}: {how}"] += 1
        return True
