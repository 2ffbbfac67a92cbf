"""Transactions: what a source sees of them, and what a transactional sink promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from confluent_kafka import Producer

from stream.columns.records import Outgoing, Records
from stream.errors import DeliveryError, EpochError
from stream.kafka.source import Source
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


def test_a_source_reads_only_what_was_committed(
    on_kafka: Clients, kafka: str, make_topic: Callable[[], str]
) -> None:
    topic = make_topic()
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush()
        end(30)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush()
    source = on_kafka.source()
    source.assign(topic, {0: EARLIEST})
    polled = read(source, 1)
    assert values_of(polled) == [b"committed"]
    assert values_of([source.poll(10, 0.5)]) == []
    assert source.end_offsets([0]) == {0: 4}, "the last stable offset: two records and two markers"
    producer.commit_transaction(30)
    assert values_of(read(source, 1)) == [b"open"]


@pytest.fixture
def topics(on_kafka: Clients) -> tuple[str, str]:
    """An input of four partitions and an output."""
    return on_kafka.new_topic(), on_kafka.new_topic()


def write_in_transactions(servers: str, topic: str, values: list[bytes]) -> None:
    """One transaction, whose markers are the last records of every partition."""
    producer = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for row, value in enumerate(values):
        producer.produce(topic, value, partition=row % PARTITIONS)
    producer.commit_transaction(30)


def test_nothing_is_left_to_read_before_the_markers_at_the_end(on_kafka: Clients, kafka: str) -> None:
    topic = on_kafka.new_topic()
    write_in_transactions(kafka, topic, [b"%d" % row for row in range(2 * PARTITIONS)])
    source = on_kafka.source()
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    read(source, 2 * PARTITIONS)
    poll_until(source, lambda: source.lag() == dict.fromkeys(range(PARTITIONS), 0))


def test_a_member_that_has_committed_lags_nothing_behind_the_markers(on_kafka: Clients, kafka: str) -> None:
    topic = on_kafka.new_topic()
    write_in_transactions(kafka, topic, [b"%d" % row for row in range(2 * PARTITIONS)])
    source, told = on_kafka.source(topic), Remembering()
    source.subscribe(topic, told, held=True)
    poll_until(source, lambda: len(told.owned) == PARTITIONS)
    source.start(dict.fromkeys(told.owned, 1))
    assert sorted(values_of(read(source, PARTITIONS))) == [
        b"%d" % (PARTITIONS + row) for row in range(PARTITIONS)
    ]
    poll_until(source, lambda: source.lag() == dict.fromkeys(range(PARTITIONS), 0))
    source.hold([0])
    assert 0 not in source.lag()


def nothing() -> Outgoing:
    return Outgoing("", [], [])


def member(on_kafka: Clients, topic: str, group: str) -> Source:
    """A member of a group that owns all partitions of `topic`."""
    source, told = on_kafka.source(group), Remembering()
    source.subscribe(topic, told)
    poll_until(source, lambda: len(told.owned) == PARTITIONS)
    return source


def seen(on_kafka: Clients, topic: str) -> list[bytes | None]:
    """What a read_committed consumer has of partition 0, up to its end."""
    source = on_kafka.source(to_end=True)
    source.assign(topic, {0: EARLIEST})
    polled: list[Records] = []
    poll_until(source, lambda: 0 in source.ended(), polled)
    return values_of(polled)


def test_records_and_offsets_become_visible_together(on_kafka: Clients, topics: tuple[str, str]) -> None:
    inputs, outputs = topics
    source, sink = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs)
    sink.reset()
    told: list[str] = []
    sink.send(outgoing(outputs, [b"1", b"2"]), lambda: told.append("acknowledged"))
    sink.flush(PATIENCE_S)
    sink.service()
    assert seen(on_kafka, outputs) == []
    assert told == [] and source.committed([0, 1]) == {}
    sink.commit(inputs, {0: 7, 1: 0}, source.group_metadata(), nothing)
    sink.flush(PATIENCE_S)
    sink.flush(PATIENCE_S)
    assert told == ["acknowledged"]
    assert source.committed([0, 1]) == {0: 7, 1: 0}
    assert seen(on_kafka, outputs) == [b"1", b"2"]
    sink.send(outgoing(outputs, [b"3"]))
    sink.commit(inputs, {0: 8}, source.group_metadata(), lambda: outgoing(outputs, [b"last"]))
    sink.flush(PATIENCE_S)
    assert seen(on_kafka, outputs) == [b"1", b"2", b"3", b"last"]


def test_a_transaction_whose_last_records_cannot_be_made_is_not_committed(
    on_kafka: Clients, topics: tuple[str, str]
) -> None:
    inputs, outputs = topics
    source, sink = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs)
    sink.reset()
    told: list[str] = []
    sink.send(outgoing(outputs, [b"1"]), lambda: told.append("acknowledged"))

    def failing() -> Outgoing:
        raise DeliveryError("no room")

    with pytest.raises(DeliveryError, match="no room"):
        sink.commit(inputs, {0: 7}, source.group_metadata(), failing)
    sink.reset()
    assert told == []
    assert source.committed([0]) == {}
    assert seen(on_kafka, outputs) == []


def test_a_reset_aborts_what_was_not_committed(on_kafka: Clients, topics: tuple[str, str]) -> None:
    inputs, outputs = topics
    source, sink = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs)
    sink.reset()
    sink.send(outgoing(outputs, [b"lost"]))
    sink.flush(PATIENCE_S)
    sink.reset()
    sink.send(outgoing(outputs, [b"kept"]))
    sink.commit(inputs, {0: 1}, source.group_metadata(), nothing)
    sink.flush(PATIENCE_S)
    assert seen(on_kafka, outputs) == [b"kept"]


def test_a_second_producer_of_one_id_fences_the_first(on_kafka: Clients, topics: tuple[str, str]) -> None:
    inputs, outputs = topics
    source, first = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs)
    first.reset()
    first.send(outgoing(outputs, [b"of the zombie"]))
    first.flush(PATIENCE_S)
    second = on_kafka.transactions(inputs)
    second.reset()
    with pytest.raises(EpochError):
        first.commit(inputs, {0: 1}, source.group_metadata(), nothing)
        first.flush(PATIENCE_S)
    second.send(outgoing(outputs, [b"of the heir"]))
    second.commit(inputs, {0: 1}, source.group_metadata(), nothing)
    second.flush(PATIENCE_S)
    assert seen(on_kafka, outputs) == [b"of the heir"]
    with pytest.raises(EpochError):
        first.send(outgoing(outputs, [b"again"]))
        first.commit(inputs, {0: 2}, source.group_metadata(), nothing)
        first.flush(PATIENCE_S)


def test_who_has_left_the_group_cannot_commit(on_kafka: Clients, topics: tuple[str, str]) -> None:
    inputs, outputs = topics
    source, sink = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs)
    zombie = source.group_metadata()
    source.close()
    heir = member(on_kafka, inputs, inputs)
    sink.reset()
    sink.send(outgoing(outputs, [b"late"]))
    with pytest.raises(EpochError):
        sink.commit(inputs, {0: 9}, zombie, nothing)
        sink.flush(PATIENCE_S)
    assert heir.committed([0]) == {}
    sink.reset()
    assert seen(on_kafka, outputs) == []


def test_a_long_queue_blocks_and_loses_nothing(on_kafka: Clients, topics: tuple[str, str]) -> None:
    inputs, outputs = topics
    source, sink = member(on_kafka, inputs, inputs), on_kafka.transactions(inputs, 60.0)
    sink.reset()
    values: list[bytes | None] = [b"%d" % number for number in range(30_000)]
    for _ in range(4):
        sink.send(outgoing(outputs, values))
    sink.commit(inputs, {0: 1}, source.group_metadata(), nothing)
    sink.flush(PATIENCE_S)
    assert seen(on_kafka, outputs) == values * 4


def test_held_partitions_are_read_from_where_they_are_started(on_kafka: Clients) -> None:
    topic = on_kafka.new_topic()
    with closing(on_kafka.sink()) as sink:
        for partition in (0, 1):
            sink.send(outgoing(topic, [b"%d" % number for number in range(5)], partition))
        sink.flush(PATIENCE_S)
    source, told = on_kafka.source(topic), Remembering()
    source.subscribe(topic, told, held=True)
    poll_until(source, lambda: len(told.owned) == PARTITIONS)
    assert values_of([source.poll(10, 0.1) for _ in range(5)]) == []
    source.start({0: 3})
    assert values_of(read(source, 2)) == [b"3", b"4"]
    source.start({1: 0})
    assert len(values_of(read(source, 5))) == 5
    source.hold([0])
    source.start({0: 4})
    assert values_of(read(source, 1)) == [b"4"]
    source.hold([1])
    source.close()
    assert told.owned == set()


def test_held_partitions_can_be_given_to_another(on_kafka: Clients) -> None:
    topic = on_kafka.new_topic()
    with closing(on_kafka.sink()) as sink:
        for partition in range(PARTITIONS):
            sink.send(outgoing(topic, [b"x"], partition))
        sink.flush(PATIENCE_S)
    one, first = on_kafka.source(topic), Remembering()
    one.subscribe(topic, first, held=True)
    poll_until(one, lambda: len(first.owned) == PARTITIONS)
    other, second = on_kafka.source(topic), Remembering()
    other.subscribe(topic, second, held=True)
    poll_both(one, other, lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2)
    one.start(dict.fromkeys(first.owned, 0))
    other.start(dict.fromkeys(second.owned, 0))
    assert len(values_of(read(one, 2) + read(other, 2))) == PARTITIONS


def poll_both(one: Source, other: Source, done: Callable[[], bool]) -> None:
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(poll_until, other, done)
        poll_until(one, done)
        poll.result()


def test_partition_counts(on_kafka: Clients) -> None:
    topic = on_kafka.new_topic()
    source = on_kafka.source(topic)
    assert source.partition_count(topic) == PARTITIONS
    assert source.partition_count(topic + "-missing") == 0
