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

from stream.batch.batcher import Batcher
from stream.commit.committer import Committer
from stream.errors import BrokerUnavailable, EpochError, describe
from stream.failpoints import reach
from stream.kafka.sink import Sink
from stream.kafka.source import Source
from stream.metrics import Metrics
from stream.worker.idle import UntilIdle
from stream.worker.lifecycle import WorkerState, successor
from stream.worker.partitions import Partitions
from stream.worker.scoring import Scoring

log = logging.getLogger(__name__)

TIDY_EVERY_S = 1.0
LOST_EPOCHS_IN_A_ROW = 5
IDLE_POLL_S = 0.1


class Pipeline:
    """One worker's loop, on one thread. It is the source's `RebalanceListener`, and a context that closes
    cleanly, or dirtily if it is left by an exception.

        assigned ──▶ restoring ──▶ running ──▶ revoked: the epoch is ended, then released
                        ▲             │   └──▶ lost: released
                        └─ epoch lost ┘

    If an epoch is not committed, or its outcome is unknown, everything in memory is discarded: the sink
    begins a new producer, which fences the old one, and all partitions are restored. If anything else is
    raised, whatever it is, the worker has failed: it commits nothing of the open epoch, and ends.

    tidy: called about once a second, between two batches. follows: the source waits for what another group
    commits, so that it may be silent for long.
    """

    def __init__(
        self,
        source: Source,
        batcher: Batcher,
        scoring: Scoring,
        sink: Sink,
        committer: Committer,
        partitions: Partitions,
        metrics: Metrics,
        tidy: Callable[[], None],
        *,
        follows: bool = False,
    ) -> None:
        self.source, self.partitions, self.metrics = source, partitions, metrics
        self._batcher, self._scoring, self._tidy = batcher, scoring, tidy
        self._sink, self._committer = sink, committer
        self.follows = follows
        self.state = WorkerState.CREATED
        self.progressed = time.monotonic()
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
                self.partitions.start_restored()
                return self._score(idle)
            except EpochError as error:
                self._lose(error)
                return 0
        except BaseException as error:
            self._fail(error)
            raise

    def _score(self, idle: float) -> int:
        polled = self.partitions.readable(self._batcher.gather(self.source.poll, idle))
        if self._trusted:
            if len(polled):
                reach("polled")
                self._scoring.score(polled)
            self._sink.service()
            self._committer.commit_if_due()
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
            self._committer.settle()
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
                self._committer.settle()
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
        return [*self.partitions.closing(), partial(self._sink.close, flush=flush), self.source.close]

    def on_assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", sorted(partitions))
        with self._failing():
            self.partitions.assign(partitions)
            reach("assigned")
            if self._trusted:
                self.partitions.restore(partitions)

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
                self._lose(error, counted=self._committer.open)
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
    def assigned(self) -> set[int]:
        """The partitions that the group gave to this worker."""
        return self.partitions.assigned

    @property
    def running(self) -> set[int]:
        """Those of them that are read."""
        return self.partitions.running

    @property
    def _trusted(self) -> bool:
        """Whether what is in memory belongs to the open epoch, so that it may be committed."""
        return self.state in (WorkerState.RUNNING, WorkerState.CLOSING)

    def _become(self, state: WorkerState) -> None:
        self.state = successor(self.state, state)

    def _lose(self, error: EpochError, *, counted: bool = True) -> None:
        """The epoch is not committed, or nobody knows: discard it in the next turn. Raises `error` if the
        worker is closing, or if it lost too many in a row. counted: whether the epoch held anything."""
        if self.state is WorkerState.FAILED:
            raise error
        epochs = self._committer.epochs
        self._lost_in_a_row = counted + (0 if epochs > self._committed_at_loss else self._lost_in_a_row)
        self._lost, self._committed_at_loss = error, epochs
        self.metrics.epochs_lost.inc()
        if self.state is WorkerState.CLOSING or self._lost_in_a_row > LOST_EPOCHS_IN_A_ROW:
            self._fail(error)
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
        if self.state is WorkerState.RUNNING:
            return
        owned = self.partitions.forget_all()
        try:
            self._sink.reset()
        except BrokerUnavailable as error:
            log.warning("waiting for the broker: %s", error)
            return
        if self._lost is not None:
            log.warning("an epoch is lost and done again from the last commit: %s", describe(self._lost))
        self._lost = None
        self._become(WorkerState.RUNNING)
        self.partitions.restore(owned)

    def _note_progress(self) -> None:
        self.progressed = now = time.monotonic()
        if now - self._tidied >= TIDY_EVERY_S:
            self._tidied = now
            self._tidy()

    def _release(self, partitions: Sequence[int]) -> None:
        self._batcher.discard(partitions)
        self.partitions.release(partitions)
