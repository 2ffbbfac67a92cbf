"""The committer against a model of what it may do: a log of epochs, of which a prefix is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.commit.committer import Committer, Epoch
from stream.errors import CommitError

INTERVAL, MAX_EVENTS, PARTITIONS = 0.1, 100, 3


@dataclass
class Group:
    """Takes commits as a broker does; refuses while `broken`."""

    committed: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    broken: bool = False

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.asked += 1
        if self.broken:
            raise CommitError("the coordinator is away")
        self.committed |= offsets


@dataclass
class Opened:
    epoch: Epoch
    offsets: dict[int, int]
    waiting: int


class Commits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.group = Group()
        self.committer = Committer(self.group.commit, INTERVAL, MAX_EVENTS, lambda: self.now)
        self.position = dict.fromkeys(range(PARTITIONS), 0)
        self.opened: list[Opened] = []
        self.owned_since = dict.fromkeys(range(PARTITIONS), 0)

    @rule(
        counts=st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(1, 30), min_size=1),
        sends=st.integers(0, 3),
    )
    def open(self, counts: dict[int, int], sends: int) -> None:
        for partition, count in counts.items():
            self.position[partition] += count
        offsets = {partition: self.position[partition] for partition in counts}
        epoch = self.committer.open(dict(offsets), sum(counts.values()), sends)
        self.opened.append(Opened(epoch, offsets, sends))

    @precondition(lambda self: any(one.waiting for one in self.opened))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.opened if one.waiting]))
        one.epoch.acknowledged()
        one.waiting -= 1

    @rule(seconds=st.floats(0, 2 * INTERVAL))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.committer.commit_if_due()

    @rule(broken=st.booleans())
    def breaks_or_mends(self, broken: bool) -> None:
        self.group.broken = broken

    @rule()
    def commit(self) -> None:
        self.committer.commit()
        if not self.group.broken:
            for partition, offset in self.may_commit().items():
                assert self.group.committed[partition] == offset

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def lose(self, partition: int) -> None:
        """The partition goes to another member, who then commits for it, and comes back later."""
        self.committer.forget([partition])
        self.owned_since[partition] = len(self.opened)
        self.group.committed.pop(partition, None)

    def may_commit(self) -> dict[int, int]:
        """The offsets of the acknowledged prefix, since the partitions are owned."""
        offsets: dict[int, int] = {}
        for number, one in enumerate(self.opened):
            if one.waiting:
                break
            offsets |= {p: at for p, at in one.offsets.items() if number >= self.owned_since[p]}
        return offsets

    @invariant()
    def nothing_is_committed_before_it_is_acknowledged(self) -> None:
        allowed = self.may_commit()
        for partition, offset in self.group.committed.items():
            assert offset <= allowed.get(partition, -1)

    def teardown(self) -> None:
        """Once all is acknowledged and the broker is well, all is committed within two intervals."""
        self.group.broken = False
        for one in self.opened:
            for _ in range(one.waiting):
                one.epoch.acknowledged()
            one.waiting = 0
        self.now += 2 * INTERVAL  # more than enough, whatever the rounding
        self.committer.commit_if_due()
        assert self.group.committed == self.may_commit()


Commits.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestCommits = Commits.TestCase


@pytest.fixture
def group() -> Group:
    return Group()


def test_a_commit_waits_for_the_interval(group: Group) -> None:
    now = [0.0]
    committer = Committer(group.commit, INTERVAL, MAX_EVENTS, lambda: now[0])
    committer.open({0: 5}, 5, sends=0)
    now[0] = INTERVAL / 2
    committer.commit_if_due()
    assert group.asked == 0
    now[0] = INTERVAL
    committer.commit_if_due()
    assert group.committed == {0: 5}


def test_many_events_do_not_wait(group: Group) -> None:
    committer = Committer(group.commit, INTERVAL, MAX_EVENTS, lambda: 0.0)
    committer.open({0: 60}, 60, sends=0)
    committer.commit_if_due()
    assert group.asked == 0
    committer.open({0: 100}, 40, sends=0)
    committer.commit_if_due()
    assert group.committed == {0: 100}


def test_nothing_new_asks_nothing(group: Group) -> None:
    committer = Committer(group.commit, INTERVAL, MAX_EVENTS, lambda: 0.0)
    committer.open({0: 5}, 5, sends=0)
    committer.commit()
    committer.commit()
    assert group.asked == 1


def test_a_refused_commit_is_counted_told_and_tried_again(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    now, failures = [0.0], []
    committer = Committer(
        group.commit, INTERVAL, MAX_EVENTS, lambda: now[0], on_failure=lambda: failures.append(True)
    )
    committer.open({0: 5}, 5, sends=0)
    group.broken = True
    with caplog.at_level(logging.WARNING):
        committer.commit()
    assert failures == [True]
    assert "the coordinator is away" in caplog.text
    group.broken = False
    committer.commit_if_due()
    assert group.asked == 1
    now[0] = INTERVAL
    committer.commit_if_due()
    assert group.committed == {0: 5}
