"""The loop: poll, score, commit; what it does when partitions come and go, and when something fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from stream.errors import BrokerUnavailable, EpochError, describe
from stream.failpoints import reach
from stream.state.gaps import Place
from stream.worker.idle import UntilIdle
from stream.worker.lifecycle import WorkerState, successor
from stream.worker.scoring import Scoring, Stages

log = logging.getLogger(__name__)

TIDY_EVERY_S = 1.0
LOST_EPOCHS_IN_A_ROW = 5
IDLE_POLL_S = 0.1


class Pipeline:
    """One worker's loop, on one thread. It is the source's `RebalanceListener`, and a context that closes
    clean, or dirty if it is left by an exception.

        assigned ──▶ restoring ──▶ running ──▶ revoked: the epoch is ended, then released
                        ▲             │   └──▶ lost: released
                        └─ epoch lost ┘

    If an epoch is not committed, or its outcome is unknown, everything in memory is discarded: the sink
    begins a new producer, which fences the old one, and all partitions are restored. If anything else is
    raised, whatever it is, the worker has failed: it commits nothing of the open epoch, and ends.

    clock: seconds since the Unix epoch. follows: the source gives nothing that another group has yet to
    commit, and may be silent for that.
    """

    def __init__(
        self, stages: Stages, clock: Callable[[], float] = time.time, *, follows: bool = False
    ) -> None:
        self.stages = stages
        self.follows = follows
        self.state = WorkerState.CREATED
        self.assigned: set[int] = set()
        self.running: set[int] = set()
        self.progressed = time.monotonic()
        self._scoring = Scoring(stages, clock)
        self._tidied = 0.0
        self._lost: EpochError | None = None
        self._lost_in_a_row = 0
        self._committed_at_loss = 0

    def run_once(self, idle: float) -> int:
        """Take one micro-batch from the source to the sink; how many records it had. Blocks up to `idle`
        seconds if nothing comes. Raises `BrokerError` if a client gave up, `StateError` and `GapError` if a
        partition cannot be restored; after that, only closing is left to do."""
        try:
            try:
                self._recover()
                self._start_restored()
                return self._score(idle)
            except EpochError as error:
                self._lose(error)
                return 0
        except BaseException as error:
            self._fail(error)
            raise

    def _score(self, idle: float) -> int:
        stages = self.stages
        polled = stages.batcher.gather(stages.source.poll, idle)
        if self.running != self.assigned:
            polled = polled.keep(np.isin(polled.partitions, sorted(self.running)))
        if self._trusted:
            if len(polled):
                reach("polled")
                self._scoring.score(polled)
            stages.sink.service()
            stages.committer.commit_if_due()
        self._note_progress()
        return len(polled)

    def run(self, stop: threading.Event, until_idle: UntilIdle | None = None) -> None:
        """Run until `stop` is set, or `until_idle` says that the group has read all. Raises as `run_once`."""
        while not stop.is_set():
            arrived = self.run_once(IDLE_POLL_S)
            if until_idle is not None and until_idle.reached(arrived, self):
                return

    def settle(self) -> bool:
        """Commit what is open and wait until it is durable; False if the epoch is lost."""
        if not self._trusted:
            return False
        try:
            self.stages.committer.settle()
        except EpochError as error:
            self._lose(error)
        return self._trusted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.state is not WorkerState.FAILED:
            self.close_clean()
        else:
            self._fail(error)
            self.close_dirty()

    def close_clean(self) -> None:
        """End the epoch, leave the group, release everything. Raises what prevents that; all is released then
        too, and nothing more is committed."""
        try:
            if self.state is WorkerState.RECOVERING:
                raise self._lost or EpochError("an epoch is lost")
            running = self.state is WorkerState.RUNNING
            self._become(WorkerState.CLOSING)
            if running:
                self.stages.committer.settle()
            with ExitStack() as stack:
                for close in self._closing_order(flush=True):
                    stack.callback(close)
        except BaseException as error:
            self._fail(error)
            self.close_dirty()
            raise
        self._become(WorkerState.CLOSED)

    def close_dirty(self) -> None:
        """Leave the group and release everything; nothing is committed or flushed. Raises nothing that a
        stage raises: the first cause counts."""
        for close in reversed(self._closing_order(flush=False)):
            try:
                close()
            except BaseException as error:
                log.warning("while closing: %s", describe(error))
        self._become(WorkerState.CLOSED)

    def _closing_order(self, *, flush: bool) -> list[Callable[[], None]]:
        """The last is closed first."""
        stages = self.stages
        return [
            stages.standby.close,
            stages.restorer.close,
            partial(stages.sink.close, flush=flush),
            stages.source.close,
        ]

    def on_assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", sorted(partitions))
        with self._failing():
            self.assigned.update(partitions)
            self.stages.standby.own(partitions)
            reach("assigned")
            if self._trusted:
                self.stages.restorer.request(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", sorted(partitions))
        with self._failing():
            self.settle()
            self._release(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        log.warning("lost: partitions %s; another scores again what was not committed", sorted(partitions))
        with self._failing():
            if self.state is WorkerState.RUNNING:
                error = EpochError("the group has given partitions to others")
                self._lose(error, counted=self.stages.committer.open)
            self._release(partitions)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What a callback raises makes the worker fail at once: a client may call the next one before it
        passes the error on."""
        try:
            yield
        except EpochError:
            raise
        except BaseException as error:
            self._fail(error)
            raise

    @property
    def _trusted(self) -> bool:
        """Whether what is in memory belongs to the open epoch, so that it may be committed."""
        return self.state in (WorkerState.RUNNING, WorkerState.CLOSING)

    def _become(self, state: WorkerState) -> None:
        self.state = successor(self.state, state)

    def _lose(self, error: EpochError, *, counted: bool = True) -> None:
        """The epoch is not committed, or nobody knows: discard it in the next turn. Raises `error` if the
        worker is closing, or if it lost too many in a row. counted: whether the epoch held anything."""
        epochs = self.stages.committer.epochs
        self._lost_in_a_row = 1 if epochs > self._committed_at_loss else self._lost_in_a_row + counted
        self._lost, self._committed_at_loss = error, epochs
        self.stages.metrics.epochs_lost.inc()
        if self.state is WorkerState.CLOSING or self._lost_in_a_row > LOST_EPOCHS_IN_A_ROW:
            raise error
        if self.state is WorkerState.RUNNING:
            self._become(WorkerState.RECOVERING)

    def _fail(self, error: BaseException | None) -> None:
        """Nothing may be committed any more."""
        if self.state in (WorkerState.FAILED, WorkerState.CLOSED):
            return
        self._become(WorkerState.FAILED)
        if error is not None:
            log.error("the worker ends, and commits nothing of the open epoch: %s", describe(error))

    def _recover(self) -> None:
        """Discard the epoch that was lost and what is in memory; if no broker answers, in a later turn. At
        the start there is nothing to discard but what an earlier process left open."""
        stages = self.stages
        if self.state is WorkerState.RUNNING:
            return
        owned = sorted(self.assigned)
        stages.source.hold(owned)
        stages.committer.forget(owned)
        self._forget(owned)
        try:
            stages.sink.reset()
        except BrokerUnavailable as error:
            log.warning("waiting for the broker: %s", error)
            return
        if self._lost is not None:
            log.warning("an epoch is lost and done again from the last commit: %s", describe(self._lost))
        self._lost = None
        self._become(WorkerState.RUNNING)
        stages.restorer.request(owned)

    def _start_restored(self) -> None:
        for restored in self.stages.restorer.restored():
            partition, place = restored.partition, restored.place
            store, patients = self.stages.store, restored.patients
            store.install(partition, patients, restored.stream_time, restored.ended, log=place.rewound)
            self._report(partition, place)
            if restored.resumed:
                self.stages.committer.begin(partition, place.offset, restored.committed)
            self.stages.placement.partitions = restored.partitions
            self.stages.source.start({partition: place.offset})
            self.running.add(partition)
            reach("restored")

    def _report(self, partition: int, place: Place) -> None:
        """What is missing of the input or the state before a partition goes on."""
        metrics = self.stages.metrics
        if place.gap:
            log.error("partition %d goes on at offset %d: %s", partition, place.offset, place.gap)
            metrics.gaps.inc()
            metrics.skipped.inc(place.skipped)
        if place.unread:
            log.warning(
                "partition %d begins at offset %d: %d events were deleted before this application read it",
                partition, place.offset, place.unread,
            )  # fmt: skip
            metrics.unread.inc(place.unread)

    def _note_progress(self) -> None:
        self.progressed = now = time.monotonic()
        if now - self._tidied >= TIDY_EVERY_S:
            self._tidied = now
            self.stages.metrics.expired.inc(self.stages.store.expire(self.stages.expire_after_ms))
            self._show_gauges()

    def _show_gauges(self) -> None:
        metrics, store = self.stages.metrics, self.stages.store
        metrics.show_lag(self.stages.source.lag())
        metrics.assigned.set(len(self.assigned))
        metrics.restoring.set(len(self.stages.restorer.pending))
        metrics.followed.set(self.stages.standby.followed)
        metrics.standby_lag.set(self.stages.standby.lag)
        metrics.resident.set(store.resident)
        metrics.evicted.set(store.evicted)
        metrics.show_drift(self.stages.drift.drift())

    def _release(self, partitions: Sequence[int]) -> None:
        """What is another member's from now on: nothing of it is stepped, committed or kept."""
        self.stages.batcher.discard(partitions)
        self.stages.committer.forget(partitions)
        self._forget(partitions)
        self.assigned.difference_update(partitions)
        self.stages.standby.follow(partitions)

    def _forget(self, partitions: Sequence[int]) -> None:
        self.stages.restorer.forget(partitions)
        self.running.difference_update(partitions)
        for partition in partitions:
            self.stages.store.drop(partition)
