"""The loop, when any call of any stage raises: nothing is lost, doubled or changed after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stream import failpoints
from stream.errors import ThreadError
from stream.kafka.memory import Cluster
from stream.worker.lifecycle import WorkerState
from tests.support.armed import CANARY
from tests.unit.worker.loop.ward import PARTITIONS, PATIENTS, Ward
from tests.unit.worker.loop.worker import DEAD_LETTERS, INPUT, SCORES, MemoryWorker

GUARANTEES = ("exactly_once", "at_least_once")
RAISED = (RuntimeError, MemoryError, SystemExit, KeyError)


class Trap:
    """Counts the failpoints that are reached, and raises `error` at the N-th time that `name` is."""

    def __init__(self, name: str = "", number: int = 0, error: type[BaseException] = RuntimeError) -> None:
        self.name, self.number, self.error = name, number, error
        self.reached: dict[str, int] = {}

    def __call__(self, name: str) -> None:
        self.reached[name] = self.reached.get(name, 0) + 1
        if name == self.name and self.reached[name] == self.number:
            raise self.error(CANARY)


@pytest.fixture
def set_trap() -> Iterator[Callable[[Trap], None]]:
    yield failpoints.set_trap
    failpoints.set_trap(None)


def night(ward: Ward) -> None:
    """A few of everything, more than two batches of each partition."""
    for place in range(len(PATIENTS)):
        ward.admit(place)
    for turn in range(6):
        for place in range(len(PATIENTS)):
            ward.observe(place, 60 + 10 * turn + place, minutes=5, again=turn == 2)
    ward.rubbish(0)
    for place in (0, 3):
        ward.discharge(place)
        ward.observe(place, 99, minutes=1)
    ward.observe(1, 100, minutes=80 * 60)
    ward.observe(2, 101, minutes=1)
    ward.discharge(1)


def work(cluster: Cluster, guarantee: str) -> None:
    """A worker that scores all, and gives a partition away and back meanwhile. However it ends, its session
    is over then."""
    worker = MemoryWorker(cluster, guarantee)
    try:
        with worker.pipeline:
            worker.join()
            for partition in range(PARTITIONS):
                cluster.give(partition, worker.member)
            for _ in range(3):
                worker.run_once()
            cluster.give(0, None)
            worker.run_once()
            cluster.take_all(worker.member)
            for partition in range(PARTITIONS):
                cluster.give(partition, worker.member)
            worker.finish()
    finally:
        cluster.take_all(worker.member)
    assert worker.pipeline.state is WorkerState.CLOSED


def check(ward: Ward, guarantee: str) -> None:
    ward.check(exactly_once=guarantee == "exactly_once", scores=SCORES, dead_letters=DEAD_LETTERS)


def reached(guarantee: str) -> dict[str, int]:
    """How often an undisturbed worker reaches each failpoint."""
    trap = Trap()
    failpoints.set_trap(trap)
    try:
        cluster = Cluster(PARTITIONS, INPUT)
        ward = Ward(cluster)
        night(ward)
        work(cluster, guarantee)
        check(ward, guarantee)
    finally:
        failpoints.set_trap(None)
    return trap.reached


def try_all(guarantee: str, most: int, set_trap: Callable[[Trap], None]) -> int:
    """Raise at each call, at most at the first `most` of each failpoint; how many were tried."""
    tried = 0
    for name, calls in reached(guarantee).items():
        for number in range(1, min(calls, most) + 1):
            error = RAISED[tried % len(RAISED)]
            cluster = Cluster(PARTITIONS, INPUT)
            ward = Ward(cluster)
            night(ward)
            trap = Trap(name, number, error)
            set_trap(trap)
            try:
                work(cluster, guarantee)
            except (error, ThreadError):
                check(ward, guarantee)
                trap.name = ""
                work(cluster, guarantee)
            else:
                assert name.partition(".")[0] in ("standby", "replica") or ".close" in name, name
            check(ward, guarantee)
            tried += 1
    return tried


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.long
def test_whatever_raises_the_next_worker_makes_it_good(
    guarantee: str, set_trap: Callable[[Trap], None]
) -> None:
    assert try_all(guarantee, 1, set_trap) > 70


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_whatever_raises_at_whatever_call(guarantee: str, set_trap: Callable[[Trap], None]) -> None:
    assert try_all(guarantee, 5, set_trap) > 200
