"""What /healthz and /readyz say of a worker, in sentences."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from stream.background import Threads
from stream.kafka.rebalance_watchdog import Watchdog
from stream.metrics import Metrics, total
from stream.worker.lifecycle import WorkerState
from stream.worker.pipeline import Pipeline

WAITS_WHILE: Mapping[WorkerState, str] = {
    WorkerState.CREATED: "starting: waiting for the broker",
    WorkerState.RECOVERING: "an epoch is lost: waiting for the broker to do it again",
    WorkerState.CLOSING: "closing",
    WorkerState.FAILED: "closing after a failure",
    WorkerState.CLOSED: "closed",
}


class Health:
    """Asked from other threads than the loop's; does not block. timeout: seconds (`health_timeout`). reads:
    whether the worker reads whatever arrives; one that follows another group waits for that.

    If no broker answers, a worker is unready, not unhealthy: a restart brings no broker back, and loses what
    the worker has in memory.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        threads: Threads,
        watchdog: Watchdog,
        timeout: float,
        *,
        reads: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline, self._threads, self._watchdog = pipeline, threads, watchdog
        self._timeout, self._reads, self._clock = timeout, reads, clock
        self._unread = Unread(pipeline.metrics)

    def unhealthy(self) -> str | None:
        """What only a restart may mend; None if nothing is wrong."""
        wrong = [f"the {name} thread is down: {why}" for name, why in self._threads.down.items()]
        wrong += filter(None, (self._silent(), self._restoring(), self._orphaned(), self._unpolled()))
        return "; ".join(wrong) or None

    def unready(self) -> str | None:
        """What the worker waits for before it scores; None if it scores all its partitions."""
        pipeline = self._pipeline
        if pipeline.state is not WorkerState.RUNNING:
            return WAITS_WHILE[pipeline.state]
        if not pipeline.assigned:
            return f"no partition is assigned: {self._watchdog.why_nothing()}"
        if not (waiting := sorted(pipeline.assigned - pipeline.running)):
            return None
        waits_for = pipeline.partitions.restorer.waits_for
        return f"restoring partitions {waiting}" + (f": waiting for {waits_for}" if waits_for else "")

    def _silent(self) -> str | None:
        silent = self._clock() - self._pipeline.progressed
        return f"no progress for {silent:.0f} s" if silent > self._timeout else None

    def _restoring(self) -> str | None:
        restorer = self._pipeline.partitions.restorer
        if (stalled := restorer.stalled) <= self._timeout:
            return None
        return f"restoring partitions {restorer.pending} has made no progress for {stalled:.0f} s"

    def _orphaned(self) -> str | None:
        seconds, partitions = self._watchdog.orphaned()
        if seconds <= self._timeout:
            return None
        return f"no partition is assigned for {seconds:.0f} s, though nobody owns partitions {partitions}"

    def _unpolled(self) -> str | None:
        seconds = self._unread.look(self._clock())
        if not self._reads or seconds <= self._timeout:
            return None
        return f"nothing was polled for {seconds:.0f} s while more and more events wait"


class Unread:
    """Whether events wait that nobody polls, by the worker's own metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._polled, self._lag, self._since = -1, 0, 0.0

    def look(self, now: float) -> float:
        """For how many seconds the consumer lag has been higher than when the last record was polled."""
        polled, lag = total(self._metrics.consumed), self._metrics.total_lag
        if polled != self._polled or lag <= self._lag:
            self._polled, self._lag, self._since = polled, lag, now
        return now - self._since
