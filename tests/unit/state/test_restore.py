"""The restorer against a changelog and a group in memory, whose records and offsets become visible at moments
of the test's choosing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from stream.background import Threads
from stream.errors import GapError, StateError, TopicError
from stream.state.changelog import TopicIds
from stream.state.gaps import Place
from stream.state.restore import Restored, Restorer, Rules
from stream.state.standby import Standby
from tests.unit.state.cluster import CHANGELOG, PATIENCE_S, Cluster, MemoryReader, wait

OLD, NEW = "T-6AFJnvS1uUeOPj4ZPtBw", "_dGeXSIdT92NOadxB86bCQ"
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
    assert (found.place.offset, found.place.gap, found.place.unread, found.patients.ids) == (17, "", 17, [])


def test_the_latest_state_of_each_patient_who_is_still_there() -> None:
    cluster = Cluster(offsets={0: 30})
    cluster.epoch(10, b"a", b"bb")
    cluster.epoch(20, b"ccc", ended=[b"a"])
    cluster.epoch(30, b"bb", ended=[b"x"])
    found = restore(cluster)
    assert sorted(found.patients.ids) == [b"bb", b"ccc"]
    assert [len(one) for one in found.patients.ids] == found.patients.rows[:, 0].tolist()
    assert (found.place.offset, found.stream_time) == (30, 300)


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
    assert collect(restoring)[0].place.offset == 20


def test_at_least_once_a_state_ahead_of_the_offsets_is_where_to_go_on() -> None:
    cluster = Cluster(offsets={0: 10})
    cluster.epoch(20, b"a")
    assert restore(cluster, replace(RULES, exactly_once=False)).place.offset == 20


def test_offsets_that_the_group_forgot_are_in_the_changelog() -> None:
    cluster = Cluster()
    cluster.epoch(20, b"a")
    assert restore(cluster).place.offset == 20


@pytest.mark.parametrize("state", [None, 10])
def test_state_that_is_gone_is_an_error_or_skipped(state: int | None) -> None:
    cluster = Cluster(offsets={0: 20})
    if state is not None:
        cluster.epoch(state, b"a")
    with pytest.raises(GapError, match=r"in/0: .*committed offset is 20, but.*--on-gap skip"):
        restore(cluster)
    found = restore(cluster, replace(RULES, skip_gaps=True))
    assert found.place.offset == 20


def gap(cluster: Cluster) -> Restored:
    """It is an error without `--on-gap skip`; what is restored with it."""
    with pytest.raises(GapError) as error:
        restore(cluster)
    found = restore(cluster, replace(RULES, skip_gaps=True))
    assert found.place.gap and found.place.gap in str(error.value)
    return found


def test_events_that_were_deleted_before_they_were_scored_are_a_gap_and_counted() -> None:
    cluster = Cluster(offsets={0: 20}, begin=25, end=99)
    cluster.epoch(20, b"a")
    found = gap(cluster)
    assert "5 events were deleted" in found.place.gap
    assert (found.place.offset, found.place.skipped, found.place.rewound) == (25, 5, False)
    assert found.patients.ids == [b"a"]


@pytest.mark.parametrize("committed", [{}, {0: 20}])
@pytest.mark.parametrize("end", [15, 99], ids=["shorter", "longer"])
def test_a_topic_that_was_made_again_is_a_gap_and_read_from_its_first_event(
    committed: dict[int, int], end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(OLD))
    cluster = Cluster(offsets=committed, begin=3, end=end)
    cluster.epoch(20, b"a", next_offset=20)
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(NEW))
    found = gap(cluster)
    assert "deleted and made again" in found.place.gap
    assert (found.place.offset, found.place.skipped, found.place.rewound) == (3, 3, True)
    assert found.patients.stays["next_offset"].tolist() == [3]


def test_a_log_of_unknown_identity_that_ends_too_early_is_read_from_its_first_event() -> None:
    cluster = Cluster(offsets={0: 20}, end=15)
    cluster.epoch(20, b"a", next_offset=20)
    found = gap(cluster)
    assert "made again, or its end was lost" in found.place.gap
    assert (found.place.offset, found.place.rewound) == (0, True)
    assert found.patients.stays["next_offset"].tolist() == [0]


def test_a_log_whose_end_was_lost_is_a_gap_and_read_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(OLD))
    cluster = Cluster(offsets={0: 20}, end=15)
    cluster.epoch(20, b"a", next_offset=20)
    found = gap(cluster)
    assert "its end was lost" in found.place.gap and "made again" not in found.place.gap
    assert (found.place.offset, found.place.rewound) == (15, True)
    assert found.patients.stays["next_offset"].tolist() == [15]


def test_a_changelog_that_was_made_again_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(OLD, OLD))
    cluster = Cluster(offsets={0: 20})
    cluster.epoch(20, b"a")
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(OLD, NEW))
    found = gap(cluster)
    assert "the changelog was deleted and made again" in found.place.gap
    assert found.place.offset == 20


def test_a_mark_without_ids_is_of_any_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(offsets={0: 20})
    cluster.epoch(20, b"a")
    monkeypatch.setattr(CHANGELOG, "ids", TopicIds(NEW, NEW))
    assert restore(cluster).place == Place(20)


def test_partitions_become_ready_one_by_one() -> None:
    cluster = Cluster(offsets={0: 10, 1: 5})
    cluster.epoch(10, b"a", partition=0)
    restoring = restorer(cluster, replace(RULES, patience=PATIENCE_S))
    restoring.request([0, 1])
    assert collect(restoring)[0].place.offset == 10
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
    assert collect(restoring)[0].place.offset == 10


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
    assert restore(cluster).place.offset == 10
