"""The restorer against a changelog and a group in memory, whose records and offsets become visible at moments
of the test's choosing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from stream.background import Threads
from stream.errors import GapError, StateError, TopicError
from stream.state.restore import Restored, Restorer, Rules
from stream.state.standby import Standby
from tests.state.cluster import CHANGELOG, PATIENCE_S, Cluster, MemoryReader, wait

RULES = Rules("in", exactly_once=True, skip_gaps=False, patience=0.3)


def restorer(cluster: Cluster, rules: Rules = RULES) -> Restorer:
    def reader() -> MemoryReader:
        return MemoryReader(cluster)

    return Restorer(reader, CHANGELOG, rules, Standby(reader, CHANGELOG.topic, Threads()))


def collect(restoring: Restorer, count: int = 1) -> dict[int, Restored]:
    found: dict[int, Restored] = {}
    wait(lambda: found.update({one.partition: one for one in restoring.restored()}) or len(found) == count)
    return found


def restore(cluster: Cluster, rules: Rules = RULES) -> Restored:
    restoring = restorer(cluster, rules)
    restoring.request([0])
    return collect(restoring)[0]


def test_a_partition_that_nobody_has_read_starts_at_the_first_retained_event() -> None:
    found = restore(Cluster(begin=17))
    assert (found.offset, found.skipped, found.patients.ids) == (17, 0, [])


def test_the_latest_state_of_each_patient_who_is_still_there() -> None:
    cluster = Cluster(offsets={0: 30})
    cluster.epoch(10, b"a", b"bb")
    cluster.epoch(20, b"ccc", ended=[b"a"])
    cluster.epoch(30, b"bb", ended=[b"x"])
    found = restore(cluster)
    assert sorted(found.patients.ids) == [b"bb", b"ccc"]
    assert [len(one) for one in found.patients.ids] == found.patients.rows[:, 0].tolist()
    assert (found.offset, found.stream_time) == (30, 300)


def test_the_state_is_waited_for_when_the_offset_is_visible_first() -> None:
    cluster = Cluster(offsets={0: 20})
    cluster.epoch(10, b"a")
    restoring = restorer(cluster, replace(RULES, patience=PATIENCE_S))
    restoring.request([0])
    time.sleep(0.3)
    assert restoring.restored() == []
    cluster.epoch(20, b"b")
    assert sorted(collect(restoring)[0].patients.ids) == [b"a", b"b"]


def test_the_offset_is_waited_for_when_the_state_is_visible_first() -> None:
    cluster = Cluster(offsets={0: 10})
    cluster.epoch(20, b"a")
    restoring = restorer(cluster, replace(RULES, patience=PATIENCE_S))
    restoring.request([0])
    time.sleep(0.3)
    assert restoring.restored() == []
    cluster.offsets[0] = 20
    assert collect(restoring)[0].offset == 20


def test_at_least_once_a_state_ahead_of_the_offsets_is_where_to_go_on() -> None:
    cluster = Cluster(offsets={0: 10})
    cluster.epoch(20, b"a")
    assert restore(cluster, replace(RULES, exactly_once=False)).offset == 20


def test_offsets_that_the_group_forgot_are_in_the_changelog() -> None:
    cluster = Cluster()
    cluster.epoch(20, b"a")
    assert restore(cluster).offset == 20


@pytest.mark.parametrize("state", [None, 10])
def test_state_that_is_gone_is_an_error_or_skipped(state: int | None) -> None:
    cluster = Cluster(offsets={0: 20})
    if state is not None:
        cluster.epoch(state, b"a")
    with pytest.raises(GapError, match=r"in/0: .*committed offset in in is 20, but.*--on-gap skip"):
        restore(cluster)
    found = restore(cluster, replace(RULES, skip_gaps=True))
    assert found.offset == 20


@pytest.mark.parametrize(
    ("begin", "end", "offset", "skipped"), [(25, 99, 25, 5), (0, 15, 15, 0)], ids=["retention", "made anew"]
)
def test_input_that_is_gone_is_an_error_or_skipped(begin: int, end: int, offset: int, skipped: int) -> None:
    cluster = Cluster(offsets={0: 20}, begin=begin, end=end)
    cluster.epoch(20, b"a")
    with pytest.raises(GapError, match=f"has offset 20, but only {begin} to {end} are retained"):
        restore(cluster)
    found = restore(cluster, replace(RULES, skip_gaps=True))
    assert (found.offset, found.skipped, found.patients.ids) == (offset, skipped, [b"a"])


def test_partitions_become_ready_one_by_one() -> None:
    cluster = Cluster(offsets={0: 10, 1: 5})
    cluster.epoch(10, b"a", partition=0)
    restoring = restorer(cluster, replace(RULES, patience=PATIENCE_S))
    restoring.request([0, 1])
    assert collect(restoring)[0].offset == 10
    assert restoring.pending == [1]
    cluster.epoch(5, b"b", partition=1)
    assert collect(restoring)[1].patients.ids == [b"b"]
    assert restoring.pending == []


def test_what_is_no_longer_wanted_is_not_handed_over_and_may_be_asked_for_again() -> None:
    cluster = Cluster(offsets={0: 10})
    restoring = restorer(cluster, replace(RULES, patience=PATIENCE_S))
    restoring.request([0])
    restoring.forget([0])
    cluster.epoch(10, b"a")
    time.sleep(0.3)
    assert restoring.restored() == []
    restoring.request([0])
    assert collect(restoring)[0].offset == 10


def test_partition_counts_that_differ_are_an_error() -> None:
    with pytest.raises(TopicError, match="in has 2 partitions and states has 3"):
        restore(Cluster(state_partitions=3))


def test_a_damaged_record_is_an_error() -> None:
    cluster = Cluster(offsets={0: 10})
    cluster.epoch(10, b"a")
    cluster.log[0][0] = (b"a", b"rubbish")
    with pytest.raises(StateError):
        restore(cluster)


def test_a_broker_that_is_away_is_waited_for() -> None:
    cluster = Cluster(offsets={0: 10}, away=1)
    cluster.epoch(10, b"a")
    assert restore(cluster).offset == 10
