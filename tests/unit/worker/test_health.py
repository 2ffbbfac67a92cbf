"""What /healthz and /readyz say, of a worker in each of its plights."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from stream.background import NAMES, STANDBY, Threads
from stream.errors import ThreadError
from stream.metrics import Metrics
from stream.worker.health import Health
from stream.worker.lifecycle import WorkerState

TIMEOUT_S = 30.0


class Plight:
    """A worker that scores partitions 0 and 1, unless a test says otherwise."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self.metrics = Metrics()
        self.threads = Threads(self.metrics.count_thread_failure)
        self.restorer = SimpleNamespace(pending=[], stalled=0.0, waits_for="")
        self.pipeline = SimpleNamespace(
            state=WorkerState.RUNNING,
            assigned={0, 1},
            running={0, 1},
            progressed=self.now,
            metrics=self.metrics,
            partitions=SimpleNamespace(restorer=self.restorer),
        )
        self.watchdog = SimpleNamespace(
            orphaned=lambda: (0.0, []), why_nothing=lambda: "the group has 3 members for 2 partitions"
        )

    def health(self, *, reads: bool = True) -> Health:
        plight: list[object] = [self.pipeline, self.threads, self.watchdog]
        return Health(*plight, TIMEOUT_S, reads=reads, clock=lambda: self.now)  # type: ignore[arg-type]


@pytest.fixture
def plight() -> Plight:
    return Plight()


def test_a_worker_that_scores_is_healthy_and_ready(plight: Plight) -> None:
    health = plight.health()
    assert (health.unhealthy(), health.unready()) == (None, None)


def test_each_reason_is_said(plight: Plight) -> None:
    plight.now += 31
    plight.threads.fail(ThreadError(STANDBY, MemoryError("ZQ7")))
    plight.restorer.stalled, plight.restorer.pending = 40.4, [1]
    plight.watchdog.orphaned = lambda: (50.0, [2, 3])
    assert (plight.health().unhealthy() or "").split("; ") == [
        "the standby thread is down: MemoryError",
        "no progress for 31 s",
        "restoring partitions [1] has made no progress for 40 s",
        "no partition is assigned for 50 s, though nobody owns partitions [2, 3]",
    ]


def test_what_lasts_a_moment_is_not_unhealthy(plight: Plight) -> None:
    plight.now += 30
    plight.restorer.stalled = 30.0
    plight.watchdog.orphaned = lambda: (30.0, [0])
    assert plight.health().unhealthy() is None


def test_events_that_nobody_polls_are_unhealthy_once_their_number_grows(plight: Plight) -> None:
    health = plight.health()

    def after(seconds: float, lag: int, polled: int = 0) -> str | None:
        plight.now += seconds
        plight.pipeline.progressed = plight.now
        plight.metrics.consumed.inc(polled)
        plight.metrics.show_lag({0: lag, 1: 0})
        return health.unhealthy()

    assert after(0, 100) is None
    assert after(60, 100) is None, "markers of transactions are counted, and never polled"
    assert after(1, 101) is None
    assert after(20, 400) is None
    assert after(20, 400) == "nothing was polled for 41 s while more and more events wait"
    assert after(1, 500, polled=1) is None
    assert after(60, 500) is None
    assert after(60, 20) is None


def test_a_worker_that_follows_another_group_may_have_to_wait(plight: Plight) -> None:
    health = plight.health(reads=False)
    for lag in range(5):
        plight.now, plight.pipeline.progressed = plight.now + 20, plight.now + 20
        plight.metrics.show_lag({0: lag})
        assert health.unhealthy() is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.pipeline.assigned.clear(),
         "no partition is assigned: the group has 3 members for 2 partitions"),
        (lambda p: p.pipeline.running.remove(1), "restoring partitions [1]"),
        (lambda p: (p.pipeline.running.clear(), setattr(p.restorer, "waits_for", "the broker: timed out")),
         "restoring partitions [0, 1]: waiting for the broker: timed out"),
        (lambda p: setattr(p.pipeline, "state", WorkerState.CLOSING), "closing"),
        (lambda p: setattr(p.pipeline, "state", WorkerState.RECOVERING),
         "an epoch is lost: waiting for the broker to do it again"),
    ],
    ids=["no partition", "restoring", "no broker", "closing", "lost"],
)  # fmt: skip
def test_what_is_waited_for_is_said(
    plight: Plight, change: Callable[[Plight], object], sentence: str
) -> None:
    change(plight)
    assert plight.health().unready() == sentence
    assert plight.health().unhealthy() is None


def test_the_metric_has_every_thread_from_the_start(plight: Plight) -> None:
    def failures(name: str) -> float | None:
        return plight.metrics.registry.get_sample_value("vitalstream_thread_failures_total", {"thread": name})

    assert [failures(name) for name in NAMES] == [0] * len(NAMES)
    plight.threads.fail(ThreadError(STANDBY, MemoryError()))
    assert failures(STANDBY) == 1
