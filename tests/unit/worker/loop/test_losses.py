"""Epochs that are lost: done again a few times, and then the worker ends, unless it gets on in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stream import failpoints
from stream.errors import CommitError
from stream.kafka.memory import Cluster
from stream.metrics import total
from stream.worker.lifecycle import WorkerState
from stream.worker.pipeline import LOST_EPOCHS_IN_A_ROW
from tests.unit.worker.loop.test_raise import night
from tests.unit.worker.loop.ward import PARTITIONS, Ward
from tests.unit.worker.loop.worker import DEAD_LETTERS, INPUT, SCORES, MemoryWorker, work

COMMITS = {"exactly_once": "sink.commit", "at_least_once": "source.commit"}


class Losses:
    """Fails the commits of which `lost` says so, by their number from 1 on."""

    def __init__(self, guarantee: str, lost: Callable[[int], bool]) -> None:
        self._name, self._lost = COMMITS[guarantee], lost
        self.commits = 0

    def __call__(self, name: str) -> None:
        if name == self._name:
            self.commits += 1
            if self._lost(self.commits):
                raise CommitError("the epoch was not committed")


@pytest.fixture
def losing() -> Iterator[Callable[[Losses], Losses]]:
    def set_trap(losses: Losses) -> Losses:
        failpoints.set_trap(losses)
        return losses

    yield set_trap
    failpoints.set_trap(None)


@pytest.mark.parametrize("guarantee", COMMITS)
def test_a_worker_that_loses_every_epoch_ends_with_the_cause(
    guarantee: str, losing: Callable[[Losses], Losses]
) -> None:
    cluster = Cluster(PARTITIONS, INPUT)
    night(ward := Ward(cluster))
    losses = losing(Losses(guarantee, lambda _: True))
    with pytest.raises(CommitError):
        work(cluster, guarantee, max_batch=2)
    assert losses.commits == LOST_EPOCHS_IN_A_ROW + 1
    losing(Losses(guarantee, lambda _: False))
    work(cluster, guarantee, max_batch=2)
    ward.check(exactly_once=guarantee == "exactly_once", scores=SCORES, dead_letters=DEAD_LETTERS)


@pytest.mark.parametrize("guarantee", COMMITS)
def test_a_worker_that_gets_on_between_its_losses_does_not_end(
    guarantee: str, losing: Callable[[Losses], Losses]
) -> None:
    cluster = Cluster(PARTITIONS, INPUT)
    night(ward := Ward(cluster))
    losses = losing(Losses(guarantee, lambda number: number % 3 == 0))
    work(cluster, guarantee, max_batch=2)
    assert losses.commits // 3 > LOST_EPOCHS_IN_A_ROW
    ward.check(exactly_once=guarantee == "exactly_once", scores=SCORES, dead_letters=DEAD_LETTERS)


def test_one_loss_too_many_fails_the_worker_in_a_callback_already_and_counts_once() -> None:
    """A client may call the next callback before it passes the error on: that one must commit nothing."""
    worker = MemoryWorker(Cluster(PARTITIONS, INPUT), "exactly_once")
    pipeline = worker.pipeline
    pipeline.run_once(0)
    assert pipeline.state is WorkerState.RUNNING
    pipeline._lost_in_a_row = LOST_EPOCHS_IN_A_ROW
    error = CommitError("the epoch was not committed")
    for _ in range(2):
        with pytest.raises(CommitError):
            pipeline._lose(error)
    assert pipeline.state is WorkerState.FAILED
    assert not pipeline.settle()
    assert total(pipeline.metrics.epochs_lost) == 1
    pipeline.close_dirty()
