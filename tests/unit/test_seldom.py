"""What Kafka's clients say again and again is logged now and then."""

from __future__ import annotations

import logging

import pytest

from stream.seldom import EVERY_S, MOST_LINES, Seldom

FAILED = "FAIL [rdkafka#%s] [thrd:kafka:9092/1]: kafka:9092/1: Connect failed (after %dms in state CONNECT)"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock) -> Seldom:
    return Seldom(clock)


def record(name: str, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, text, arguments, None)


def test_equal_lines_are_logged_once_in_ten_seconds_with_their_number(seldom: Seldom, clock: Clock) -> None:
    passed = []
    for tick in range(220):
        line = record("librdkafka", FAILED, f"consumer-{tick % 3}", tick)
        if seldom.filter(line):
            passed.append(line.getMessage())
        clock.now += EVERY_S / 110
    assert len(passed) == 2
    assert "more such lines" not in passed[0]
    assert "(109 more such lines" in passed[1]


def test_lines_that_differ_are_all_logged(seldom: Seldom) -> None:
    texts = ["Connection lost: a", "Connection lost: b", "Connection lost: a"]
    assert [seldom.filter(record("kafka.net.manager", text)) for text in texts] == [True, True, False]


def test_backoffs_that_vary_are_the_same_failure(seldom: Seldom) -> None:
    text = "Bootstrap connection to %s failed: refused (backoff %.2f secs)"
    lines = [record("kafka.net.manager", text, "bootstrap-0", backoff) for backoff in (0.05, 0.11, 0.94)]
    assert [seldom.filter(line) for line in lines] == [True, False, False]


def test_the_programs_own_lines_are_all_logged(seldom: Seldom) -> None:
    assert all(seldom.filter(record("stream.worker.pipeline", "waiting for the broker")) for _ in range(5))


def test_what_is_remembered_does_not_grow(seldom: Seldom, clock: Clock) -> None:
    for number in range(3 * MOST_LINES):
        seldom.filter(record("kafka.cluster", f"no leader of partition {number}"))
        clock.now += 1
    assert len(seldom._seen) <= MOST_LINES + 1
