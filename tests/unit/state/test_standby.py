"""Standing by: what was followed of a partition need not be read again when it is taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream.background import Threads
from stream.state.replica import Replica, fold
from stream.state.restore import Restored, Restorer, Rules
from stream.state.standby import Standby
from tests.unit.state.cluster import CHANGELOG, PATIENCE_S, Cluster, MemoryReader, wait

RULES = Rules("in", exactly_once=True, skip_gaps=False, patience=PATIENCE_S)


@contextmanager
def standing_by(cluster: Cluster) -> Iterator[Standby]:
    standby = Standby(lambda: MemoryReader(cluster), CHANGELOG.topic, Threads())
    standby.open()
    try:
        yield standby
    finally:
        standby.close()


def caught_up(cluster: Cluster) -> bool:
    """The reader of the standby, made first, has read all that there is."""
    return bool(cluster.readers) and cluster.readers[0].read_all()


def take_over(cluster: Cluster, standby: Standby, partition: int = 0) -> Restored:
    restorer = Restorer(lambda: MemoryReader(cluster), CHANGELOG, RULES, standby)
    standby.own([partition])
    restorer.request([partition])
    found: list[Restored] = []
    wait(lambda: found.extend(restorer.restored()) or bool(found))
    restorer.close()
    return found[0]


def test_a_takeover_reads_only_what_came_since() -> None:
    cluster = Cluster(offsets={0: 30})
    cluster.epoch(10, b"a", b"bb")
    cluster.epoch(20, b"ccc", ended=[b"a"])
    with standing_by(cluster) as standby:
        wait(lambda: caught_up(cluster))
        standby.own([0])
        wait(lambda: cluster.assigned[-1] == {1: 0})
        followed = len(cluster.log[0])
        cluster.epoch(30, b"dddd")
        found = take_over(cluster, standby)
    assert cluster.assigned[-1] == {0: followed}
    assert sorted(found.patients.ids) == [b"bb", b"ccc", b"dddd"]
    assert (found.place.offset, found.stream_time) == (30, 300)


def test_what_is_owned_is_not_followed_until_it_is_let_go() -> None:
    cluster = Cluster()
    with standing_by(cluster) as standby:
        wait(lambda: cluster.assigned == [{0: 0, 1: 0}])
        standby.own([1])
        wait(lambda: cluster.assigned[-1] == {0: 0})
        cluster.epoch(5, b"a", partition=1)
        standby.follow([1])
        wait(lambda: cluster.assigned[-1] == {0: 0, 1: 0} and caught_up(cluster))
        cluster.offsets[1] = 5
        assert take_over(cluster, standby, 1).patients.ids == [b"a"]


def test_what_was_taken_is_with_the_taker_alone() -> None:
    cluster = Cluster()
    cluster.epoch(5, b"a")
    with standing_by(cluster) as standby:
        wait(lambda: caught_up(cluster))
        standby.own([0])
        assert set(standby.take([0])[0].latest) == {b"a", b"\xffpartition"}
        assert standby.take([0, 1]) == {}


def test_where_nobody_stands_by_all_is_read() -> None:
    cluster = Cluster(offsets={0: 10})
    cluster.epoch(10, b"a")
    standby = Standby(lambda: MemoryReader(cluster), CHANGELOG.topic, Threads())
    assert take_over(cluster, standby).patients.ids == [b"a"]
    assert cluster.assigned == [{0: 0}]


def test_a_broker_that_is_away_is_waited_for_and_delays_no_takeover() -> None:
    cluster = Cluster(offsets={0: 10}, away=1)
    cluster.epoch(10, b"a")
    with standing_by(cluster) as standby:
        wait(lambda: not cluster.away)
        assert take_over(cluster, standby).patients.ids == [b"a"]
        wait(lambda: cluster.assigned[-1] == {1: 0})


def test_a_changelog_that_was_cut_off_is_read_anew() -> None:
    cluster = Cluster()
    cluster.epoch(10, b"a")
    with standing_by(cluster) as standby:
        wait(lambda: caught_up(cluster))
        cluster.log = {0: [], 1: []}
        cluster.epoch(5, b"b")
        cluster.gap = True
        wait(lambda: len(cluster.readers) == 2 and cluster.readers[1].read_all())
        standby.own([0])
        assert b"a" not in standby.take([0])[0].latest


@pytest.mark.parametrize("known", [True, False])
def test_folding_keeps_what_has_a_replica(known: bool) -> None:
    cluster = Cluster()
    cluster.epoch(5, b"a", b"b", ended=[b"a"])
    reader = MemoryReader(cluster)
    reader.assign(CHANGELOG.topic, {0: 0})
    replicas = {0 if known else 1: Replica()}
    while not reader.read_all():
        fold(reader.poll(10, 0), replicas)
    if known:
        assert set(replicas[0].latest) == {b"b", b"\xffpartition"}
        assert replicas[0].offset == len(cluster.log[0])
    else:
        assert replicas == {1: Replica()}
