"""Members of a consumer group: assignment, revocation, loss, commits."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import count

import pytest

from stream.errors import BrokerError, CommitError, SettingsError, TopicError
from tests.broker.clients.conftest import Clients
from tests.broker.clients.polling import (
    EARLIEST,
    PARTITIONS,
    PATIENCE_S,
    Remembering,
    outgoing,
    poll_until,
    read,
    values_of,
)

ALL = list(range(PARTITIONS))
names = (f"group-{time.time_ns()}-{number}" for number in count())


def fill(clients: Clients, topic: str, rows: int = 10) -> None:
    sink = clients.sink()
    for partition in ALL:
        sink.send(outgoing(topic, [b"%d" % row for row in range(rows)], partition))
    sink.flush(30)


def test_a_member_alone_gets_every_partition_inside_poll(members: Clients) -> None:
    topic, source, listener = members.new_topic(), members.source(next(names)), Remembering()
    source.subscribe(topic, listener)
    assert source.assignment() == []
    poll_until(source, lambda: len(listener.owned) == PARTITIONS)
    assert listener.events == [("assigned", ALL)]
    assert listener.threads == {threading.get_ident()}
    assert source.assignment() == ALL


def test_closing_revokes_and_can_still_commit(members: Clients) -> None:
    topic, group = members.new_topic(), next(names)
    fill(members, topic)
    source = members.source(group)
    listener = Remembering(on_revoke=lambda partitions: source.commit(dict.fromkeys(partitions, 7)))
    source.subscribe(topic, listener)
    read(source, 10 * PARTITIONS)
    source.close()
    assert listener.events == [("assigned", ALL), ("revoked", ALL)]
    assert listener.threads == {threading.get_ident()}
    other = members.source(group)
    other.assign(topic, {0: EARLIEST})
    assert other.committed(ALL) == dict.fromkeys(ALL, 7)


def test_a_member_starts_from_what_the_group_committed(on_kafka: Clients) -> None:
    topic, group = on_kafka.new_topic(), next(names)
    fill(on_kafka, topic)
    first = on_kafka.source(group)
    first.subscribe(topic, Remembering())
    read(first, 10 * PARTITIONS)
    assert first.committed(ALL) == {}
    first.commit({1: 4, 2: 10})
    assert first.committed(ALL) == {1: 4, 2: 10}
    first.close()
    second = on_kafka.source(group)
    second.subscribe(topic, Remembering())
    polled = read(second, 10 + 6 + 0 + 10)
    starts = dict.fromkeys(ALL, 10)
    for records in polled:
        for partition, offset in zip(records.partitions, records.offsets, strict=True):
            starts[partition] = min(starts[partition], offset)
    assert starts == {0: 0, 1: 4, 2: 10, 3: 0}


def test_nothing_is_committed_but_by_commit(members: Clients) -> None:
    topic, group = members.new_topic(), next(names)
    fill(members, topic)
    first = members.source(group)
    first.subscribe(topic, Remembering())
    read(first, 10 * PARTITIONS)
    first.close()
    second = members.source(group)
    second.assign(topic, {0: EARLIEST})
    assert second.committed(ALL) == {}


def test_committing_what_is_not_owned_is_an_error(clients: Clients) -> None:
    topic, source = clients.new_topic(), clients.source(next(names))
    source.assign(topic, {0: EARLIEST})
    source.commit({0: 0})
    with pytest.raises(CommitError):
        source.commit({0: 0, 1: 0})


def test_without_a_group_there_is_no_subscription_and_no_commit(clients: Clients) -> None:
    topic, source = clients.new_topic(), clients.source()
    with pytest.raises(SettingsError):
        source.subscribe(topic, Remembering())
    source.assign(topic, {0: EARLIEST})
    with pytest.raises(CommitError):
        source.commit({0: 0})


def test_an_error_of_the_listener_comes_out_of_poll(members: Clients) -> None:
    topic, source, listener = members.new_topic(), members.source(next(names)), Remembering()

    def refuse(partitions: Sequence[int]) -> None:
        raise CommitError("refused")

    listener.on_assigned = refuse  # type: ignore[method-assign]
    source.subscribe(topic, listener)
    with pytest.raises(CommitError, match="refused"):
        poll_until(source, lambda: False)


def test_two_members_share_and_hand_over(on_kafka: Clients) -> None:
    topic, group = on_kafka.new_topic(), next(names)
    fill(on_kafka, topic)
    first, second = on_kafka.source(group), on_kafka.source(group)
    commit_ten = Remembering(on_revoke=lambda partitions: first.commit(dict.fromkeys(partitions, 10)))
    newcomer = Remembering()
    first.subscribe(topic, commit_ten)
    read(first, 10 * PARTITIONS)
    second.subscribe(topic, newcomer)
    deadline = time.monotonic() + 2 * PATIENCE_S
    seen_by_second = []
    while not (len(newcomer.owned) == len(commit_ten.owned) == PARTITIONS // 2):
        assert time.monotonic() < deadline, (commit_ten.events, newcomer.events)
        first.poll(100, 0.1)
        seen_by_second.append(second.poll(100, 0.1))
        assert not commit_ten.owned & newcomer.owned
    assert commit_ten.owned | newcomer.owned == set(ALL)
    assert sum(map(len, seen_by_second)) == 0, "the newcomer starts from what was committed when revoked"
    second.close()
    assert newcomer.owned == set()
    poll_until(first, lambda: len(commit_ten.owned) == PARTITIONS)
    assert first.assignment() == ALL


def test_records_of_a_revoked_partition_are_not_returned(on_kafka: Clients) -> None:
    topic, group = on_kafka.new_topic(), next(names)
    fill(on_kafka, topic, rows=3000)
    first, second = on_kafka.source(group), on_kafka.source(group)
    one, two = Remembering(), Remembering()
    first.subscribe(topic, one)
    read(first, 1, max_records=1)
    second.subscribe(topic, two)
    deadline = time.monotonic() + 2 * PATIENCE_S
    while len(two.owned) < PARTITIONS // 2:
        assert time.monotonic() < deadline
        for source, listener in ((first, one), (second, two)):
            assert set(source.poll(10, 0.05).partitions) <= listener.owned


def test_a_member_that_polls_too_seldom_loses_its_partitions(on_kafka: Clients) -> None:
    overrides = on_kafka.by_client(
        librdkafka={"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"},
        kafka_python={
            "max_poll_interval_ms": "6000",
            "session_timeout_ms": "6000",
            "heartbeat_interval_ms": "500",
        },
    )
    topic, source, listener = on_kafka.new_topic(), on_kafka.source(next(names), overrides), Remembering()
    source.subscribe(topic, listener)
    poll_until(source, lambda: len(listener.owned) == PARTITIONS)
    time.sleep(8)
    poll_until(source, lambda: ("lost", ALL) in listener.events)
    poll_until(source, lambda: len(listener.owned) == PARTITIONS)
    assert listener.events == [("assigned", ALL), ("lost", ALL), ("assigned", ALL)]


def test_a_missing_topic_is_loud(on_kafka: Clients) -> None:
    source = on_kafka.source(next(names))
    with pytest.raises(TopicError):
        source.subscribe("there-is-no-such-topic", Remembering())
        poll_until(source, lambda: False)


def test_an_offset_that_is_no_longer_there_can_be_an_error(on_kafka: Clients) -> None:
    topic = on_kafka.new_topic()
    fill(on_kafka, topic)
    source = on_kafka.source(auto_offset_reset="error")
    source.assign(topic, {0: 1000})
    with pytest.raises(BrokerError):
        poll_until(source, lambda: False)
    tolerant = on_kafka.source()
    tolerant.assign(topic, {0: 1000})
    assert values_of(read(tolerant, 10))[0] == b"0"
