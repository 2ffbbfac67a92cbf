"""What a source sees of transactions: only what is committed."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Producer

from tests.clients.conftest import Clients
from tests.clients.polling import EARLIEST, read, values_of


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
