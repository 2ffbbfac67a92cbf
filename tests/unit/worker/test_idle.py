"""When a worker that ends by itself may end."""

from __future__ import annotations

import pytest

from stream.errors import BrokerError, BrokerUnavailable
from stream.kafka.memory import Cluster, MemorySource
from stream.worker import idle
from stream.worker.idle import JOIN_TIMEOUT_S, STALLED_S, Backlog, UntilIdle
from stream.worker.lifecycle import WorkerState

QUIET = 5.0


class Group(Backlog):
    """A backlog that a test sets: the first offset not committed of each partition that has unread events."""

    def __init__(self) -> None:
        self.behind: dict[int, int] = {}
        self.away = False

    def unread(self) -> dict[int, int]:
        if self.away:
            raise BrokerUnavailable("no broker")
        return self.behind


class Night:
    """A worker of which a test sets everything, and a clock. It is looked at once a second."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.state, self.assigned, self.running = WorkerState.RUNNING, {0}, {0}
        self.settles = True
        self.group = Group()
        self.until_idle = UntilIdle(QUIET, self.group, lambda: self.now)

    def settle(self) -> bool:
        return self.settles

    def ends_within(self, seconds: float, arrived: int = 0) -> bool:
        until = self.now + seconds
        while self.now < until:
            self.now += 1
            if self.until_idle.reached(arrived, self):
                return True
        return False


def test_it_ends_when_nothing_came_for_a_while_and_all_is_committed() -> None:
    night = Night()
    assert not night.ends_within(100, arrived=1)
    assert not night.ends_within(QUIET - 1)
    assert night.ends_within(2)


def test_it_does_not_end_while_others_have_unread_events_and_get_on() -> None:
    night = Night()
    for offset in range(10):
        night.group.behind = {3: offset}
        assert not night.ends_within(STALLED_S - 10)
    night.group.behind = {}
    assert night.ends_within(5)


def test_events_that_nobody_scores_are_an_error_and_not_an_end() -> None:
    night = Night()
    night.group.behind = {3: 7}
    with pytest.raises(BrokerError, match=r"partitions \[3\].*session"):
        night.ends_within(STALLED_S + 20)


def test_a_worker_without_partitions_waits_for_those_that_dead_members_hold() -> None:
    night = Night()
    night.assigned = night.running = set()
    night.group.behind = {0: 4}
    assert not night.ends_within(JOIN_TIMEOUT_S + 50)
    night.assigned, night.running = {0}, {0}
    assert not night.ends_within(3, arrived=1)
    night.group.behind = {}
    assert night.ends_within(QUIET + 2)


def test_restoring_and_an_epoch_that_is_not_durable_are_no_rest() -> None:
    night = Night()
    night.running = set()
    assert not night.ends_within(300)
    night.running = {0}
    night.settles = False
    assert not night.ends_within(60)
    night.settles = True
    assert night.ends_within(QUIET + 2)


def test_a_restoration_that_never_ends_is_an_error() -> None:
    night = Night()
    night.running = set()
    with pytest.raises(BrokerError, match=r"partitions \[0\] were not restored"):
        night.ends_within(3600)


def test_without_a_broker_it_ends_with_an_error() -> None:
    night = Night()
    night.state = WorkerState.CREATED
    with pytest.raises(BrokerUnavailable):
        night.ends_within(JOIN_TIMEOUT_S + 5)


def test_a_group_that_cannot_be_asked_for_a_moment_is_asked_again() -> None:
    night = Night()
    night.group.away = True
    assert not night.ends_within(60)
    night.group.away = False
    assert night.ends_within(5)
    night = Night()
    night.group.away = True
    with pytest.raises(BrokerUnavailable):
        night.ends_within(STALLED_S + 20)


class Marked(MemorySource):
    """A source of which the end of partition 0 is one marker of a transaction after the last record."""

    def end_offsets(self, partitions: list[int]) -> dict[int, int]:  # type: ignore[override]
        ends = super().end_offsets(partitions)
        return {one: at + (one == 0) for one, at in ends.items()}

    def ended(self) -> set[int]:
        ends = super().end_offsets(list(self._positions))
        return {one for one, at in self._positions.items() if at >= ends[one]}


def test_the_backlog_is_what_a_reader_of_the_group_would_still_get() -> None:
    cluster = Cluster(2, "in")
    backlog = Backlog(lambda: Marked(cluster), "in")
    assert backlog.unread() == {}
    for partition in (0, 1):
        for _ in range(3):
            cluster.produce(partition, b"p", b"{}")
    assert backlog.unread() == {0: 0, 1: 0}
    cluster.offsets = {0: 3, 1: 2}
    assert backlog.unread() == {1: 2}, "a marker of a transaction is no event"
    cluster.offsets = {0: 3, 1: 3}
    assert backlog.unread() == {}


def test_a_reader_that_reaches_no_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Marked):
        def ended(self) -> set[int]:
            return set()

    monkeypatch.setattr(idle, "READ_TIMEOUT_S", 0.0)
    with pytest.raises(BrokerUnavailable, match="in: "):
        Backlog(lambda: Silent(Cluster(1, "in")), "in").unread()
