"""Sending a feed and reading it back, over the embedded broker."""

import threading
import time
from contextlib import closing

import pytest

from stream.columns.records import Outgoing
from stream.kafka.clients import make_sink
from stream.kafka.embedded import PARTITIONS, EmbeddedBroker
from stream.kafka.tail import QUIET_S, Tail
from stream.settings import load
from stream.synthetic.delivery import deliver
from stream.synthetic.pacing import Pace
from stream.synthetic.simulator import Ward


@pytest.fixture
def settings():
    with EmbeddedBroker() as broker:
        servers = {"bootstrap_servers": broker.bootstrap_servers}
        settings = load(
            servers | {"client_overrides": {"fetch.wait.max.ms": "5", "log_level": "3"}}, environment={}
        )
        broker.create(settings.observations_topic)
        yield settings


def ward(settings, start_ms, interval=1.0):
    return Ward(7, 1, start_ms, interval, topic=settings.observations_topic)


def read(settings, count, **options):
    """At least `count` events, by key, in the order in which they were read."""
    by_key, until = {}, time.monotonic() + 20
    with closing(Tail(settings, settings.observations_topic, PARTITIONS, **options)) as tail:
        while sum(map(len, by_key.values())) < count and time.monotonic() < until:
            for arrived, records in tail.drain():
                assert arrived <= time.monotonic()
                for key, value in zip(records.keys, records.values, strict=True):
                    by_key.setdefault(key, []).append(value)
            time.sleep(0.01)
        assert tail.caught_up.wait(20)
    return by_key


def test_everything_until_the_end_is_sent_in_order_and_can_be_read(settings):
    start_ms = 1_700_000_000_000
    seen = []
    with closing(make_sink(settings)) as sink:
        deliver(ward(settings, start_ms), sink, threading.Event(), seen.append, until_ms=start_ms + 9_999)
    expected = {}
    again = ward(settings, start_ms).tick(start_ms + 9_999)
    for key, value in zip(again.keys, again.values, strict=True):
        expected.setdefault(key, []).append(value)
    assert sum(map(len, seen)) == 70
    assert read(settings, 70) == expected
    few = read(settings, 1, last=3)
    assert sum(map(len, few.values())) <= 3 * PARTITIONS
    assert all(expected[key][-len(values) :] == values for key, values in few.items())


def test_events_are_sent_when_they_happen(settings):
    start_ms = int(time.time() * 1000) - 60_000
    arrivals = []
    with closing(make_sink(settings)) as sink:
        begun = time.monotonic()
        deliver(
            ward(settings, start_ms, interval=10.0),
            sink,
            threading.Event(),
            lambda batch: arrivals.append((time.monotonic() - begun, int(batch.timestamps[-1]) - start_ms)),
            Pace(start_ms, 50.0),
            start_ms + 30_000,
        )
    assert arrivals[-1][1] == 30_000
    assert all(event_ms <= 50.0 * 1000 * (wall + 0.01) for wall, event_ms in arrivals)


def test_stopping_ends_it_with_what_was_sent_acknowledged(settings):
    stop, sent = threading.Event(), []

    def sending(batch):
        sent.append(len(batch))
        if len(sent) == 3:
            stop.set()

    now_ms = int(time.time() * 1000)
    with closing(make_sink(settings)) as sink:
        deliver(ward(settings, now_ms, interval=0.2), sink, stop, sending, Pace(now_ms, 1.0))
    assert len(sent) == 3
    assert sum(map(len, read(settings, sum(sent)).values())) == sum(sent)


def test_a_topic_that_is_written_to_without_a_pause_has_been_read_where_it_ended_at_the_start(settings):
    topic = settings.observations_topic
    with closing(make_sink(settings)) as sink:
        sink.send(Outgoing(topic, [b"{}"] * 10, [b"p"] * 10))
        sink.flush(10)
        stop = threading.Event()

        def write():
            while not stop.wait(0.02):
                sink.send(Outgoing(topic, [b"{}"], [b"p"]))

        writing = threading.Thread(target=write)
        writing.start()
        try:
            with closing(Tail(settings, topic, PARTITIONS)) as tail:
                assert tail.caught_up.wait(QUIET_S - 1)
        finally:
            stop.set()
            writing.join()


@pytest.mark.long
def test_a_tail_from_which_nobody_takes_stops_reading(settings, monkeypatch):
    monkeypatch.setattr("stream.kafka.tail.MOST_HELD", 20)
    monkeypatch.setattr("stream.kafka.tail.BATCH", 10)
    topic = settings.observations_topic
    with closing(make_sink(settings)) as sink:
        for _ in range(20):
            sink.send(Outgoing(topic, [b"{}"] * 10, [b"p"] * 10))
            sink.flush(10)
    with closing(Tail(settings, topic, PARTITIONS)) as tail:
        assert not tail.caught_up.wait(1)
        assert 20 <= tail._read < 40
        read = 0
        while not tail.caught_up.wait(0.05):
            read += sum(len(records) for _, records in tail.drain())
        assert read + sum(len(records) for _, records in tail.drain()) == 200
