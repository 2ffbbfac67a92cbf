"""The clients in memory keep the promises of the ports, as far as a worker relies on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from stream.columns.records import Outgoing
from stream.errors import CommitError, DeliveryError
from stream.kafka.memory import Cluster, Died, MemorySink, MemorySource, MemoryTransactionalSink
from stream.kafka.memory.cluster import Outcome
from stream.kafka.sink import Sink, TransactionalSink
from stream.kafka.source import Source

OUT, CHANGELOG = "scores", "a-changelog"


class Heard:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []

    def on_assigned(self, partitions: Sequence[int]) -> None:
        self.calls.append(("assigned", list(partitions)))

    def on_revoked(self, partitions: Sequence[int]) -> None:
        self.calls.append(("revoked", list(partitions)))

    def on_lost(self, partitions: Sequence[int]) -> None:
        self.calls.append(("lost", list(partitions)))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(partitions=2, input="in")


def member(cluster: Cluster, *partitions: int) -> tuple[MemorySource, Heard]:
    source, heard = MemorySource(cluster), Heard()
    source.subscribe("in", heard)
    for partition in partitions:
        cluster.give(partition, source)
    source.poll(0, 0)
    source.start(dict.fromkeys(partitions, 0))
    return source, heard


def letters(text: str, topic: str = OUT) -> Outgoing:
    values = [letter.encode() for letter in text]
    return Outgoing(topic, values, [b"k"] * len(values), np.zeros(len(values), np.int32))


def written(cluster: Cluster, topic: str = OUT) -> str:
    return b"".join(record.value or b"" for record in cluster.logs[topic][0]).decode()


def test_they_are_what_the_ports_ask_for(cluster: Cluster) -> None:
    source: Source = MemorySource(cluster)
    sink: Sink = MemorySink(cluster)
    transactional: TransactionalSink = MemoryTransactionalSink(cluster, "t")
    for port in (source, sink, transactional):
        port.close()


def test_records_come_once_in_order_and_not_while_their_partition_rests(cluster: Cluster) -> None:
    source, _ = member(cluster, 0, 1)
    for number in range(3):
        cluster.produce(number % 2, b"k", b"%d" % number, timestamp=number)
    source.pause([1])
    polled = source.poll(1, 0)
    assert (polled.values, polled.timestamps.tolist(), source.lag()) == ([b"0"], [0], {0: 1, 1: 1})
    source.resume([1])
    assert source.poll(10, 0).values == [b"2", b"1"]
    assert source.poll(10, 0).values == []


def test_a_partition_is_given_up_before_another_member_has_it(cluster: Cluster) -> None:
    first, heard = member(cluster, 0)
    second, other = member(cluster)
    cluster.give(0, second)
    second.poll(1, 0)
    assert other.calls == []
    first.poll(1, 0)
    second.poll(1, 0)
    assert (heard.calls[-1], other.calls) == (("revoked", [0]), [("assigned", [0])])
    with pytest.raises(CommitError):
        first.commit({0: 1})
    second.commit({0: 1})
    assert second.committed([0, 1]) == {0: 1}


def test_who_died_hears_that_its_partitions_are_lost(cluster: Cluster) -> None:
    source, heard = member(cluster, 0)
    cluster.take_all(source)
    source.poll(1, 0)
    assert heard.calls[-1] == ("lost", [0])


def test_a_sink_delivers_when_it_is_served_and_acknowledges_after_it(cluster: Cluster) -> None:
    sink, acknowledged = MemorySink(cluster), list[str]()
    sink.send(letters("ab"), lambda: acknowledged.append(written(cluster)))
    assert (written(cluster), acknowledged) == ("", [])
    sink.service()
    assert acknowledged == ["ab"]
    sink.send(letters("c"))
    sink.reset()
    sink.flush(1)
    assert written(cluster) == "ab"


def test_a_torn_sink_delivers_a_part_of_the_changelog_and_is_gone(cluster: Cluster) -> None:
    sink, cluster.torn = MemorySink(cluster), 1
    sink.send(letters("xy", CHANGELOG))
    with pytest.raises(Died):
        sink.flush(1)
    assert written(cluster, CHANGELOG) == "x"


@pytest.mark.parametrize(
    ("outcome", "text", "offsets"),
    [("committed", "ab", {0: 5}), ("unknown", "ab", {0: 5}), ("refused", "", {})],
)
def test_a_transaction_is_there_as_a_whole_or_not_at_all(
    cluster: Cluster, outcome: Outcome, text: str, offsets: dict[int, int]
) -> None:
    source, _ = member(cluster, 0)
    sink, acknowledged = MemoryTransactionalSink(cluster, "t"), list[str]()
    sink.reset()
    sink.send(letters("a"), lambda: acknowledged.append("a"))
    cluster.next_commits = [outcome]
    sink.commit("in", {0: 5}, source.group_metadata(), lambda: letters("b"))
    if outcome == "committed":
        sink.flush(1)
    else:
        with pytest.raises(CommitError):
            sink.flush(1)
    assert (written(cluster), cluster.offsets) == (text, offsets)
    assert acknowledged == (["a"] if outcome == "committed" else [])


def test_a_new_producer_fences_the_one_before_it_and_an_abort_leaves_nothing(cluster: Cluster) -> None:
    source, _ = member(cluster, 0)
    old, new = MemoryTransactionalSink(cluster, "t"), MemoryTransactionalSink(cluster, "t")
    old.reset()
    old.send(letters("a"))
    new.reset()
    old.commit("in", {0: 1}, source, lambda: letters("b"))
    with pytest.raises(CommitError):
        old.service()
    new.send(letters("c"))
    new.abort()
    new.commit("in", {0: 1}, source, lambda: letters("d"))
    new.flush(1)
    assert (written(cluster), cluster.offsets) == ("d", {0: 1})


def test_a_member_that_is_not_held_begins_at_the_committed_offset(cluster: Cluster) -> None:
    for number in range(3):
        cluster.produce(0, b"k", b"%d" % number)
    cluster.offsets[0] = 1
    source = MemorySource(cluster)
    source.subscribe("in", Heard())
    cluster.give(0, source)
    assert source.poll(9, 0).values == [b"1", b"2"]


def test_a_negative_offset_is_the_earliest_or_the_end(cluster: Cluster) -> None:
    cluster.produce(0, b"k", b"0")
    cluster.produce(1, b"k", b"1")
    source = MemorySource(cluster)
    source.assign("in", {0: -2, 1: -1})
    assert source.poll(9, 0).values == [b"0"]


def test_whom_a_partition_was_promised_gets_it_though_its_owner_closes(cluster: Cluster) -> None:
    first, _ = member(cluster, 0)
    second, heard = member(cluster)
    cluster.give(0, second)
    first.close()
    second.poll(1, 0)
    assert heard.calls == [("assigned", [0])]


def test_after_a_failed_commit_only_a_reset_helps(cluster: Cluster) -> None:
    source, _ = member(cluster, 0)
    sink, cluster.next_commits = MemoryTransactionalSink(cluster, "t"), ["refused"]
    with pytest.raises(DeliveryError):
        sink.send(letters("a"))
    sink.reset()
    sink.commit("in", {0: 1}, source, lambda: letters("a"))
    with pytest.raises(CommitError):
        sink.service()
    with pytest.raises(DeliveryError):
        sink.send(letters("b"))
    sink.reset()
    acknowledged: list[str] = []
    sink.commit("in", {0: 1}, source, lambda: letters("c"), lambda: acknowledged.append("c"))
    sink.close()
    assert (written(cluster), acknowledged) == ("c", ["c"])
