"""The watchdog, against a group in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

import pytest

from stream.background import WATCHDOG, Threads
from stream.errors import BrokerError, BrokerUnavailable
from stream.kafka import rebalance_watchdog as watchdog
from stream.kafka.rebalance_watchdog import Action, Blindness, Ownership, Suspicion, Watchdog
from stream.kafka.source import RebalanceListener
from tests.support.failing import KINDS, PATIENT, Fuse
from tests.unit.state.cluster import wait

WAIT, NUDGE, END = Action
LOOK_S = 0.01


def group(*members: Set[int], partitions: int = 4, stable: bool = True) -> Ownership:
    return Ownership(partitions, members, stable)


def judged(own: Set[int], looks: Sequence[Ownership], *, static: bool) -> list[Action]:
    suspicion = Suspicion(static)
    return [suspicion.judge(own, look) for look in looks]


@pytest.mark.parametrize(
    ("ownership", "unowned"),
    [
        (group({0, 1}, {2, 3}), set()),
        (group({0, 1}, {3}), {2}),
        (group(set(), set()), {0, 1, 2, 3}),
        (group({0, 1}, stable=False), set()),
        (group(stable=False), {0, 1, 2, 3}),
        (group(partitions=0), set()),
    ],
    ids=["all owned", "one unowned", "nothing given out", "rebalancing", "no member", "no topic"],
)
def test_unowned_is_what_no_member_owns_while_the_group_rests(
    ownership: Ownership, unowned: set[int]
) -> None:
    assert ownership.unowned == unowned


def test_each_member_that_owns_something_has_a_rank_of_its_own() -> None:
    members = [{4, 5}, {0, 7}, {2}, set()]
    assert [group(*members, partitions=9).rank(own) for own in members] == [2, 0, 1, 3]


def test_one_of_the_static_members_has_the_group_rebalance() -> None:
    looks = [group({0}, {1}, {2})] * 4
    assert judged({0}, looks, static=True) == [WAIT, NUDGE, WAIT, NUDGE]
    assert judged({1}, looks, static=True)[:3] == [WAIT, WAIT, NUDGE]
    assert judged({2}, looks, static=True)[:4] == [WAIT, WAIT, WAIT, NUDGE]


def test_rebalances_that_do_not_help_become_rare() -> None:
    actions = judged({0}, [group({0})] * 70, static=True)
    assert [look for look, action in enumerate(actions, 1) if action is NUDGE] == [2, 4, 8, 16, 32, 64]


def test_what_is_given_out_in_time_is_left_alone() -> None:
    orphaned, whole, moving = group({0, 1}), group({0, 1}, {2, 3}), group({0, 1}, stable=False)
    assert set(judged({0, 1}, [orphaned, whole] * 5, static=True)) == {WAIT}
    assert set(judged({0, 1}, [orphaned, moving] * 5, static=True)) == {WAIT}
    assert set(judged(set(), [group({1, 2, 3}), group({0, 1})] * 5, static=False)) == {WAIT}


def test_a_member_that_owns_nothing_ends() -> None:
    looks = [group(set())] * 5
    assert judged(set(), looks, static=False) == [WAIT, WAIT, WAIT, WAIT, END]
    assert judged(set(), looks, static=True) == [WAIT, NUDGE, WAIT, NUDGE, END]
    assert set(judged({0}, looks, static=False)) == {WAIT}


def test_a_spare_member_is_left_alone() -> None:
    assert set(judged(set(), [group({0, 1}, {2, 3}, set())] * 20, static=False)) == {WAIT}


class Kafka:
    """A group that is looked at. comes: members that came and went. unread: what it has not committed."""

    def __init__(self) -> None:
        self.ownership: Ownership = group(set())
        self.own: Set[int] = set()
        self.looks = self.asked = self.comes = self.polled = 0
        self.unread: dict[int, int] = {}
        self.away = False
        self.ended: list[BrokerError] = []

    def look(self) -> Ownership:
        self.looks += 1
        if self.away:
            raise BrokerUnavailable("nobody answers")
        return self.ownership

    def ask(self) -> dict[int, int]:
        self.asked += 1
        return self.unread

    def member(self) -> Member:
        return Member(self)


class Member:
    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self._listener = listener

    def poll(self, max_records: int, timeout: float) -> None:
        self._kafka.comes += 1
        self._listener.on_assigned([])

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", LOOK_S)


@contextmanager
def watching(
    kafka: Kafka, *, static: bool, fuse: Fuse | None = None, threads: Threads | None = None
) -> Iterator[Watchdog]:
    fuse = fuse or Fuse(RuntimeError, 0)
    dog = Watchdog(
        "in",
        fuse.function("look", kafka.look),
        fuse.function("owned", lambda: kafka.own),
        Blindness(
            fuse.function("reading", lambda: kafka.own),
            fuse.function("polled", lambda: kafka.polled),
            fuse.function("unread", kafka.ask),
            patience=0.05,
        ),
        fuse.maker(kafka.member),
        threads or Threads(),
        static=static,
    )
    dog.open(fuse.function("end", kafka.ended.append))
    yield dog
    dog.close()


def test_a_worker_for_which_nothing_helps_ends_with_exit_code_3() -> None:
    kafka = Kafka()
    with watching(kafka, static=True):
        wait(lambda: bool(kafka.ended))
    assert kafka.comes == 2
    assert kafka.ended[0].exit_code == 3
    assert str(kafka.ended[0]) == (
        "in: nobody owns partitions [0, 1, 2, 3], yet the group gives this worker none; it ends, to be "
        "started again"
    )


def test_a_member_that_owns_something_asks_the_brokers_only_if_it_is_static() -> None:
    kafka = Kafka()
    kafka.own, kafka.ownership = {0, 1}, group({0, 1}, {2, 3})
    with watching(kafka, static=False), watching(Kafka(), static=False) as other:
        wait(lambda: other.why_nothing() != "joining the group")
        assert kafka.looks == 0


def test_while_nothing_is_wrong_looks_become_rare() -> None:
    calm, wrong = Kafka(), Kafka()
    calm.own, calm.ownership = {0, 1, 2, 3}, group({0, 1, 2, 3})
    with watching(wrong, static=True), watching(calm, static=True):
        wait(lambda: wrong.looks >= 20)
        assert 1 <= calm.looks <= 5
        calm.ownership = group({0, 1, 2, 3}, partitions=5)
        wait(lambda: calm.comes == 1)


@pytest.mark.parametrize("seen", [group({0, 1}), group(stable=False)], ids=["a member", "no member any more"])
def test_a_worker_whose_client_reads_none_of_what_waits_ends_with_exit_code_3(seen: Ownership) -> None:
    kafka = Kafka()
    kafka.own, kafka.unread, kafka.ownership = {0, 1}, {1: 7, 2: 0}, seen
    with watching(kafka, static=False):
        wait(lambda: bool(kafka.ended))
    assert kafka.ended[0].exit_code == 3
    assert str(kafka.ended[0]) == (
        "in: this worker owns partitions [1], in which events wait, and its client reads none; it ends, to "
        "be started again"
    )


def test_a_worker_that_reads_nothing_because_the_group_rebalances_goes_on() -> None:
    kafka = Kafka()
    kafka.own, kafka.unread, kafka.ownership = {0, 1}, {1: 7}, group({0, 1}, stable=False)
    with watching(kafka, static=False):
        wait(lambda: kafka.looks >= 3)
    assert kafka.ended == []


def test_a_worker_is_not_blind_while_it_polls_or_gets_on_or_reads_nothing() -> None:
    now, polled, unread, reading = 0.0, 0, {0: 5, 1: 2}, {0}

    def look(seconds: float) -> list[int]:
        nonlocal now
        now += seconds
        return blind.look()

    blind = Blindness(lambda: reading, lambda: polled, lambda: dict(unread), 10.0, lambda: now)
    assert [look(0), look(9), look(1)] == [[], [], []]
    assert blind.suspected
    polled += 1
    assert [look(5), look(5), look(5)] == [[], [], []]
    unread[0] = 6
    assert look(5) == []
    reading.clear()
    assert [look(5), look(50)] == [[], []]
    assert not blind.suspected
    reading.add(1)
    assert [look(20), look(5)] == [[], [1]]


def test_a_busy_or_a_caught_up_worker_asks_the_brokers_seldom_or_never() -> None:
    busy, idle = Kafka(), Kafka()
    busy.own = idle.own = {0, 1}

    def polls() -> bool:
        busy.polled += 1
        return idle.asked >= 2

    with watching(busy, static=False), watching(idle, static=False):
        wait(polls)
    assert busy.asked == 0


def test_it_says_why_a_worker_owns_nothing() -> None:
    kafka = Kafka()
    with watching(kafka, static=False) as dog:
        assert dog.why_nothing() == "joining the group"
        wait(lambda: dog.orphaned()[0] > 0)
        assert dog.orphaned()[1] == [0, 1, 2, 3]
        kafka.away = True
        wait(lambda: dog.orphaned()[0] == 0)  # nobody knows what the group does
        kafka.away = False
        assert dog.why_nothing() == (
            "nobody owns partitions [0, 1, 2, 3], and the group does not give them out"
        )
        kafka.ownership = group({0, 1}, {2, 3}, set(), set(), set())
        wait(lambda: dog.why_nothing() == "the group has 5 members for 4 partitions")
        assert dog.orphaned() == (0.0, [])
        kafka.ownership = group({0, 1}, stable=False)
        wait(lambda: dog.why_nothing() == "joining the group")


def test_a_broker_that_is_away_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    kafka, counted = Kafka(), list[str]()
    kafka.away = True
    with caplog.at_level(logging.INFO), watching(kafka, static=False, threads=Threads(counted.append)):
        wait(lambda: kafka.looks >= 2)
    assert counted == []
    assert caplog.messages[0] == "the group was not looked at: nobody answers"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(1, 25))
def test_a_watchdog_that_failed_looks_again(
    at: int, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.background.FIRST_PAUSE_S", 0.01)
    counted: list[str] = []
    kafka, threads, fuse = Kafka(), Threads(counted.append), Fuse(kind, at)
    with caplog.at_level(logging.ERROR), watching(kafka, static=True, fuse=fuse, threads=threads):
        wait(lambda: fuse.blown)
        wait(lambda: bool(kafka.ended) and not threads.down)
    assert counted == [WATCHDOG]
    (logged,) = caplog.messages
    assert logged.startswith(f"the watchdog thread failed: {kind.__name__} at tests/support/failing.py")
    assert PATIENT not in logged
