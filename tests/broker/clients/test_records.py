"""What goes in comes out: order, offsets, keys, values, headers, timestamps, partitions."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from stream.columns.records import Outgoing, Records
from stream.errors import BrokerError, SettingsError
from tests.broker.clients.conftest import CLIENTS, Clients
from tests.broker.clients.polling import EARLIEST, END, PARTITIONS, outgoing, poll_until, read, values_of

# Of Kafka's own UtilsTest.testMurmur2; Java's signed 32-bit integers.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
START_MS = 1_700_000_000_000


def test_everything_of_a_record_comes_back(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    values = [b"one", b"", None, bytes(range(256)), b"five"]
    keys = [b"a", b"\xff\x00", b"b", b"", None]
    headers = [[("h", b"1"), ("h", b"\x00")], [], [("code", b"x")], [], [("empty", b"")]]
    partitions = np.array([2, 2, 0, 2, 0], np.int32)
    timestamps = START_MS + np.array([5, 1, 2, 9, 4])
    sink.send(Outgoing(topic, values, keys, partitions, timestamps, headers))
    sink.flush(30)
    source = clients.source(with_headers=True)
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    polled = read(source, len(values))
    rows = {
        (records.partitions[row], records.offsets[row]): (
            records.values[row],
            records.keys[row],
            records.timestamps[row],
            (records.headers or [])[row],
        )
        for records in polled
        for row in range(len(records))
    }
    sent = list(zip(values, keys, timestamps, headers, strict=True))
    assert rows == {(2, 0): sent[0], (2, 1): sent[1], (0, 0): sent[2], (2, 2): sent[3], (0, 1): sent[4]}
    assert polled[0].topic == topic
    assert (polled[0].partitions.dtype, polled[0].offsets.dtype) == (np.int32, np.int64)
    assert polled[0].timestamps.dtype == np.int64


def test_order_holds_within_each_partition(clients: Clients) -> None:
    topic, sink, rng = clients.new_topic(), clients.sink(), random.Random(7)
    values = [b"%d" % row for row in range(5000)]
    partitions = np.array([rng.randrange(PARTITIONS) for _ in values], np.int32)
    for start in range(0, len(values), 137):
        rows = slice(start, start + 137)
        sink.send(Outgoing(topic, values[rows], values[rows], partitions[rows]))
    sink.flush(30)
    source = clients.source()
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    polled = read(source, len(values), max_records=211)
    assert max(map(len, polled)) <= 211
    assert all(records.headers is None for records in polled)
    for partition in range(PARTITIONS):
        came = [
            (offset, value)
            for records in polled
            for where, offset, value in zip(records.partitions, records.offsets, records.values, strict=True)
            if where == partition
        ]
        expected = [value for where, value in zip(partitions, values, strict=True) if where == partition]
        assert came == list(enumerate(expected))


def test_a_header_without_a_value_is_delivered(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    sink.send(Outgoing(topic, [b"v"], [b"k"], headers=[[("none", None), ("last", b"1")]]))
    sink.flush(30)
    source = clients.source(with_headers=True)
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    (records,) = read(source, 1)
    assert records.headers is not None
    assert [(name, value or b"") for name, value in records.headers[0]] == [("none", b""), ("last", b"1")]


def test_a_poll_without_records_gives_empty_columns(clients: Clients) -> None:
    source = clients.source(with_headers=True)
    source.assign(clients.new_topic(), {0: EARLIEST})
    records = source.poll(10, 0.0)
    assert len(records) == 0
    assert (records.values, records.keys, list(records.headers or [])) == ([], [], [])
    assert records.partitions.shape == records.offsets.shape == records.timestamps.shape == (0,)


def test_a_poll_does_not_wait_for_more_than_the_first_record(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    source = clients.source()
    source.assign(topic, {0: EARLIEST})
    sink.send(outgoing(topic, [b"only"]))
    sink.flush(30)
    started = time.monotonic()
    assert source.poll(4096, 60.0).values == [b"only"]
    assert time.monotonic() - started < 30


def test_a_record_without_timestamp_has_the_time_of_sending(clients: Clients) -> None:
    topic, sink, before = clients.new_topic(), clients.sink(), time.time() * 1000 - 1
    sink.send(outgoing(topic, [b"now"]))
    sink.flush(30)
    source = clients.source()
    source.assign(topic, {0: EARLIEST})
    assert before <= read(source, 1)[0].timestamps[0] <= time.time() * 1000 + 1


def test_the_key_decides_the_partition_as_in_java(clients: Clients) -> None:
    topic, sink = clients.new_topic(), clients.sink()
    keys = list(MURMUR2)
    sink.send(Outgoing(topic, keys, keys))
    sink.flush(30)
    source = clients.source()
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    came = {
        key: partition
        for records in read(source, len(keys))
        for key, partition in zip(records.keys, records.partitions, strict=True)
    }
    assert came == {key: (MURMUR2[key] & 0x7FFFFFFF) % PARTITIONS for key in keys}


def test_reading_starts_where_it_is_told(clients: Clients) -> None:
    topic, sink, source = clients.new_topic(), clients.sink(), clients.source()
    sink.send(outgoing(topic, [b"0", b"1", b"2"], partition=1))
    sink.send(outgoing(topic, [b"old"], partition=2))
    sink.flush(30)
    source.assign(topic, {1: 2, 2: END})
    assert values_of(read(source, 1)) == [b"2"]
    assert source.assignment() == [1, 2]
    polled: list[Records] = []

    def send_one_more() -> bool:  # the end is where it is when the broker is asked, some time after `assign`
        sink.send(outgoing(topic, [b"new"], partition=2))
        return bool(polled)

    poll_until(source, send_one_more, polled)
    assert set(values_of(polled)) == {b"new"}


def test_the_ends_of_partitions(clients: Clients) -> None:
    topic, sink, source = clients.new_topic(), clients.sink(), clients.source()
    sink.send(outgoing(topic, [b"0", b"1", b"2"], partition=1))
    sink.flush(30)
    source.assign(topic, {0: EARLIEST, 1: EARLIEST})
    assert source.beginning_offsets([0, 1]) == {0: 0, 1: 0}
    assert source.end_offsets([0, 1]) == {0: 0, 1: 3}
    assert source.end_offsets([]) == {}


def test_lag_is_what_is_left_to_read(clients: Clients) -> None:
    topic, sink, source = clients.new_topic(), clients.sink(), clients.source()
    sink.send(outgoing(topic, [b"%d" % row for row in range(10)], partition=1))
    sink.flush(30)
    source.assign(topic, {1: EARLIEST})
    assert source.lag() == {}
    polled = read(source, 4, max_records=4)
    assert source.lag() == {1: 10 - sum(map(len, polled))}


def test_pausing_loses_and_repeats_nothing(clients: Clients) -> None:
    topic, sink, source = clients.new_topic(), clients.sink(), clients.source()
    values = [b"%d" % row for row in range(1000)]
    for partition in (0, 1):
        sink.send(outgoing(topic, values, partition))
    sink.flush(30)
    source.assign(topic, {0: EARLIEST, 1: EARLIEST})
    before = read(source, 100, max_records=50)
    source.pause([0])
    during = [source.poll(100, 0.05) for _ in range(30)]
    assert all(0 not in records.partitions for records in during)
    source.resume([0])
    came = [records for records in (*before, *during) if len(records)]
    came += read(source, 2000 - sum(map(len, came)))
    for partition in (0, 1):
        offsets = [offset for records in came for offset in records.offsets[records.partitions == partition]]
        assert offsets == list(range(1000))


def test_a_large_record_passes(on_kafka: Clients) -> None:
    topic = on_kafka.new_topic(config={"max.message.bytes": "2097152"})
    value = random.Random(1).randbytes(1_500_000)
    sink, source = on_kafka.sink(), on_kafka.source()
    sink.send(outgoing(topic, [value]))
    sink.flush(30)
    source.assign(topic, {0: EARLIEST})
    assert values_of(read(source, 1)) == [value]


@pytest.mark.parametrize("compression", ["lz4", "zstd", "snappy", "gzip", "none"])
def test_one_client_reads_what_the_other_wrote(on_kafka: Clients, compression: str) -> None:
    topic = on_kafka.new_topic()
    values = [b"%d" % row for row in range(100)]
    sent = Outgoing(topic, values, values, None, START_MS + np.arange(100), [[("h", b"1")]] * 100)
    sink = on_kafka.sink(compression=compression)
    sink.send(sent)
    sink.flush(30)
    (other,) = CLIENTS.keys() - {on_kafka.name}
    source = Clients(other, on_kafka.servers, on_kafka.new_topic, on_kafka.stages).source(with_headers=True)
    source.assign(topic, dict.fromkeys(range(PARTITIONS), EARLIEST))
    polled = read(source, 100)
    assert sorted(values_of(polled)) == sorted(values)
    assert all(header == [("h", b"1")] for records in polled for header in records.headers or [[]])


def test_a_source_closes_more_than_once(clients: Clients) -> None:
    source = clients.source()
    source.assign(clients.new_topic(), {0: EARLIEST})
    source.close()
    source.close()


def test_a_missing_partition_is_an_error(on_kafka: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.kafka_python.source.REQUEST_TIMEOUT_MS", 1000)
    source = on_kafka.source()
    source.assign(on_kafka.new_topic(), {0: EARLIEST})
    with pytest.raises(BrokerError):
        source.end_offsets([99])


def test_an_unknown_property_is_a_settings_error(clients: Clients) -> None:
    with pytest.raises(SettingsError, match="no_such_thing"):
        clients.source(overrides={"no_such_thing": "1"})
    with pytest.raises(SettingsError, match="no_such_thing"):
        clients.sink(overrides={"no_such_thing": "1"})
