"""What a sink says of the records that it was given: all acknowledged, or a loud error."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from stream.columns.records import Outgoing
from stream.errors import DeliveryError, RefusalError
from tests.broker.clients.conftest import Clients
from tests.broker.clients.polling import EARLIEST, PARTITIONS, outgoing, read, values_of

SMALL = {"max.message.bytes": "2000"}
TOO_LARGE = random.Random(3).randbytes(5000)
TOO_LARGE_FOR_IT = {"kafka-python": RefusalError, "librdkafka": (DeliveryError, RefusalError)}
"""What each client's sink raises: librdkafka may report the lost epoch before the cause."""


def test_the_whole_is_acknowledged_once_on_the_callers_thread(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    told: list[tuple[int, int]] = []
    partitions = np.arange(500, dtype=np.int32) % PARTITIONS
    values = [b"v"] * 500
    for number in range(4):
        sink.send(
            Outgoing(topic, values, values, partitions),
            lambda number=number: told.append((number, threading.get_ident())),
        )
    sink.flush(30)
    assert sorted(told) == [(number, threading.get_ident()) for number in range(4)]
    sink.service()
    sink.flush(30)
    assert len(told) == 4


def test_service_runs_the_acknowledgements_without_a_flush(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    told = threading.Event()
    sink.send(outgoing(topic, [b"v"]), told.set)
    for _ in range(3000):
        sink.service()
        if told.wait(0.01):
            break
    assert told.is_set()


def test_nothing_is_acknowledged_at_once(clients: Clients) -> None:
    told: list[bool] = []
    clients.sink().send(Outgoing(clients.new_topic(), [], []), lambda: told.append(True))
    assert told == [True]


def test_a_full_queue_blocks_and_drops_nothing(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.kafka_python.sink.MAX_UNACKNOWLEDGED", 100)
    topic = clients.new_topic()
    limit = clients.by_client(librdkafka={"queue.buffering.max.messages": "100"}, kafka_python={})
    sink = clients.sink(limit)
    told: list[bool] = []
    values = [b"%d" % row for row in range(3000)]
    for start in range(0, len(values), 1000):
        sink.send(outgoing(topic, values[start : start + 1000]), lambda: told.append(True))
        assert sink.unacknowledged() <= 100
    sink.flush(30)
    assert told == [True] * 3
    source = clients.source()
    source.assign(topic, {0: EARLIEST})
    assert values_of(read(source, len(values))) == values


def test_a_record_that_fails_in_the_middle_is_loud_and_stays_so(on_kafka: Clients) -> None:
    topic, sink = on_kafka.new_topic(config=SMALL), on_kafka.sink(linger_ms=0)
    told: list[str] = []
    sink.send(outgoing(topic, [b"good"]), lambda: told.append("good"))
    sink.flush(30)
    with pytest.raises(TOO_LARGE_FOR_IT[on_kafka.name], match=topic):
        sink.send(outgoing(topic, [b"before", TOO_LARGE, b"after"]), lambda: told.append("bad"))
        sink.flush(600)
    assert told == ["good"]
    for again in (lambda: sink.flush(30), sink.service, lambda: sink.send(outgoing(topic, [b"later"]))):
        with pytest.raises(TOO_LARGE_FOR_IT[on_kafka.name]):
            again()
    sink.close()
    assert told == ["good"]


def test_a_failure_without_a_flush_is_an_error_of_service(on_kafka: Clients) -> None:
    topic, sink = on_kafka.new_topic(config=SMALL), on_kafka.sink(linger_ms=0)
    pause = threading.Event()
    with pytest.raises(TOO_LARGE_FOR_IT[on_kafka.name]):
        sink.send(outgoing(topic, [TOO_LARGE]))
        for _ in range(3000):
            sink.service()
            pause.wait(0.01)


def test_a_failure_that_nobody_asked_about_is_an_error_of_close(on_kafka: Clients) -> None:
    topic, sink = on_kafka.new_topic(config=SMALL), on_kafka.sink(linger_ms=1000)
    sink.send(outgoing(topic, [TOO_LARGE]))
    with pytest.raises(TOO_LARGE_FOR_IT[on_kafka.name]):
        sink.close()
    sink.close()


def test_a_record_for_a_missing_partition_is_an_error(on_kafka: Clients) -> None:
    topic, sink = on_kafka.new_topic(), on_kafka.sink()
    told: list[bool] = []
    with pytest.raises(DeliveryError):
        sink.send(outgoing(topic, [b"v"], partition=99), lambda: told.append(True))
        sink.flush(30)
    assert not told


def test_the_error_does_not_show_the_record(on_kafka: Clients) -> None:
    sink = on_kafka.sink(linger_ms=0)
    secret = Outgoing(on_kafka.new_topic(config=SMALL), [b"secret" * 1000 + TOO_LARGE], [b"secret"])
    with pytest.raises(TOO_LARGE_FOR_IT[on_kafka.name]) as error:
        sink.send(secret)
        sink.flush(30)
    assert "secret" not in str(error.value)


def test_columns_of_unequal_length_are_refused(clients: Clients) -> None:
    with pytest.raises(ValueError):
        clients.sink().send(Outgoing(clients.new_topic(), [b"a", b"b"], [b"k"]))


def test_a_sink_closes_more_than_once_and_then_sends_nothing(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    told: list[bool] = []
    sink.send(outgoing(topic, [b"v"]), lambda: told.append(True))
    sink.close()
    assert told == [True]
    sink.close()
    for use in (lambda: sink.send(outgoing(topic, [b"v"])), sink.service, lambda: sink.flush(1)):
        with pytest.raises(DeliveryError, match="closed"):
            use()
