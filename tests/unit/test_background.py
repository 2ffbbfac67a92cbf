"""A thread's failure is seen, whatever it raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import pytest
from confluent_kafka import KafkaException

from stream.background import STANDBY, Threads, raise_failure, spawn
from stream.errors import DataError, ThreadError, VitalstreamError
from tests.unit.state.cluster import wait as wait_until

PATIENT = "ZQ7-patient"
FOREIGN = [MemoryError, SystemExit, RuntimeError, KafkaException, KeyError, KeyboardInterrupt]


def raiser(error: BaseException) -> Callable[[], Any]:
    def raises(*_: object) -> None:
        raise error

    return raises


def test_what_the_thread_returns_is_in_the_future() -> None:
    assert spawn("t", lambda: threading.current_thread().name).result(10) == "t"


def test_an_error_of_the_project_reaches_the_owner_as_it_is() -> None:
    error = DataError("no data")
    with pytest.raises(DataError) as raised:
        spawn("t", raiser(error)).result(10)
    assert raised.value is error


@pytest.mark.parametrize("kind", FOREIGN)
def test_any_other_error_reaches_the_owner_without_its_text(kind: type[BaseException]) -> None:
    outcome = spawn("restore", raiser(kind(PATIENT)))
    wait([outcome], 10)
    with pytest.raises(ThreadError) as raised:
        raise_failure(outcome)
    assert (raised.value.thread, raised.value.exit_code) == ("restore", 1)
    assert isinstance(raised.value.cause, kind)
    cause = f"{kind.__name__} at tests/unit/test_background.py"
    assert str(raised.value).startswith(f"the restore thread failed: {cause}")
    assert PATIENT not in str(raised.value)


def test_a_thread_that_cannot_be_started_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", raiser(RuntimeError("can't start new thread")))
    outcome = spawn("commit", lambda: None)
    with pytest.raises(ThreadError, match="the commit thread failed: RuntimeError"):
        raise_failure(outcome)


def test_a_thread_that_runs_or_has_ended_well_has_no_failure() -> None:
    end = threading.Event()
    outcome = spawn("t", lambda: end.wait(10))
    raise_failure(outcome)
    end.set()
    wait([outcome], 10)
    raise_failure(outcome)


@pytest.mark.parametrize("kind", [*FOREIGN, VitalstreamError])
def test_a_kept_thread_begins_again_whatever_it_raised(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.background.FIRST_PAUSE_S", 0.05)
    counted: list[str] = []
    threads, closed, begun = Threads(counted.append), threading.Event(), threading.Event()
    failing = 2

    def work() -> None:
        nonlocal failing
        if failing:
            failing -= 1
            raise kind("no")
        begun.set()
        closed.wait(10)

    with caplog.at_level(logging.INFO):
        threads.keep(STANDBY, work, closed)
        assert begun.wait(10)
    assert counted == [STANDBY, STANDBY]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert [record.getMessage().rpartition("; ")[2] for record in caplog.records] == [
        "it starts again in 0.05 s",
        "it starts again in 0.1 s",
    ]
    what = "no" if kind is VitalstreamError else f"{kind.__name__} at tests/unit/test_background.py"
    assert threads.down[STANDBY].startswith(what), "until it says that it works"
    threads.alive(STANDBY)
    assert threads.down == {}
    closed.set()


def test_the_pause_grows_while_a_thread_fails_at_once_and_only_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.background.MAX_PAUSE_S", 4.0)
    paused: list[float] = []
    now = 0.0

    class Closed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            paused.append(timeout or 0.0)
            return super().wait(0)

    def work() -> None:
        nonlocal now
        now += 5.0 if len(paused) == 5 else 0.1
        if len(paused) == 7:
            closed.set()
        raise RuntimeError

    monkeypatch.setattr("stream.background.time.monotonic", lambda: now)
    closed, threads = Closed(), Threads()
    threads.keep(STANDBY, work, closed)
    wait_until(closed.is_set)
    assert paused[:7] == [1.0, 2.0, 4.0, 4.0, 4.0, 1.0, 2.0]


def test_a_kept_thread_that_cannot_even_begin_again_stays_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Threads, "_note", raiser(MemoryError()))
    threads = Threads()
    threads.keep(STANDBY, raiser(RuntimeError()), threading.Event())
    wait_until(lambda: STANDBY in threads.down)
    threads.alive(STANDBY)
    assert threads.down[STANDBY].startswith("the standby thread failed: MemoryError at ")
