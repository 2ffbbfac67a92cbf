"""What the demo counts."""

import numpy as np
import pytest

from stream.columns.records import Outgoing, Records
from stream.demo.tally import Tally


def sent(*events):
    keys, times = zip(*events, strict=True)
    return Outgoing("t", [b"{}"] * len(keys), list(keys), timestamps=np.array(times, np.int64))


def read(*events, headers=None):
    keys, times = zip(*events, strict=True)
    zeros = np.zeros(len(keys), np.int32)
    times = np.array(times, np.int64)
    return Records("t", [b"{}"] * len(keys), list(keys), zeros, times, times, headers)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("stream.demo.tally.time", clock)
    return clock


def test_latency_is_from_sending_to_reading_of_timed_events_only(clock):
    tally = Tally()
    tally.sending(sent((b"old", 1)))
    tally.timing.set()
    clock.now = 110.0
    tally.sending(sent((b"a", 1), (b"b", 1)))
    tally.scored(110.25, read((b"old", 1), (b"a", 1)))
    tally.scored(110.75, read((b"b", 1)))
    assert (tally.latency_ms(0.0), tally.latency_ms(0.5), tally.latency_ms(1.0)) == (250.0, 500.0, 750.0)
    assert tally.figures() == {
        "events": 3,
        "scores": 3,
        "dead_letters": 0,
        "unscored": 0,
        "late": 0,
        "events_per_second": round(3 / 10.75, 1),
        "latency_p50_ms": 500.0,
        "latency_p99_ms": 745.0,
    }


def test_what_has_not_come_back_is_open(clock):
    tally = Tally()
    tally.sending(sent((b"a", 1), (b"a", 2), (b"b", 1)))
    tally.scored(clock.now, read((b"a", 1)))
    tally.refused(read((b"b", 1), headers=[[("vitalstream.error.code", b"not_json")]]))
    assert (tally.open, dict(tally.dead_letters)) == (1, {"not_json": 1})


def test_a_discharge_is_not_waited_for_and_counts_once_when_its_copy_is_refused(clock):
    tally = Tally()
    leaving = [b'{"type":"discharge","patient_id":"a"}'] * 2
    tally.sending(Outgoing("t", leaving, [b"a"] * 2, timestamps=np.array([1, 1], np.int64)))
    assert (tally.open, tally.unscored) == (0, 2)
    refused = read((b"a", 1), headers=[[("vitalstream.error.code", b"duplicate")]])
    refused.values[:] = leaving[:1]
    tally.refused(refused)
    assert (tally.open, tally.unscored) == (0, 1)


def test_late_scores_are_counted() -> None:
    tally = Tally()
    scores = read((b"a", 1), (b"b", 1))
    scores.values[:] = [b'{"state":{"late":true}}', b'{"state":{"late":false}}']
    tally.scored(1.0, scores)
    assert tally.late == 1


def test_without_scores_there_is_no_latency_and_no_rate() -> None:
    assert Tally().figures() == {
        "events": 0,
        "scores": 0,
        "dead_letters": 0,
        "unscored": 0,
        "late": 0,
        "events_per_second": 0.0,
        "latency_p50_ms": None,
        "latency_p99_ms": None,
    }
