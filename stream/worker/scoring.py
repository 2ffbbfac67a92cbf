"""What happens to a micro-batch between poll and commit, one line a stage."""

from __future__ import annotations

import time

from stream.columns.records import Records
from stream.commit.committer import Committer
from stream.drift.monitor import DriftMonitor, NullDriftMonitor
from stream.failpoints import reach
from stream.metrics import Metrics
from stream.state.admission import Admitted
from stream.worker.intake import Intake
from stream.worker.publishing import Publisher
from stream.worker.stepping import Outcome, Stepping


class Scoring:
    """Takes a micro-batch through the stages and into the open epoch."""

    def __init__(
        self,
        intake: Intake,
        stepping: Stepping,
        drift: DriftMonitor | NullDriftMonitor,
        publisher: Publisher,
        committer: Committer,
        metrics: Metrics,
    ) -> None:
        self._intake, self._stepping, self._drift = intake, stepping, drift
        self._publisher, self._committer, self._metrics = publisher, committer, metrics

    def score(self, polled: Records) -> None:
        """Raises what a stage raises; then the epoch holds a part of the batch and may not be committed."""
        events, refused = self._intake.take(polled)
        admission = self._stepping.admit(events)
        refused.append(admission.refused)
        for outcome in self._step(admission):
            self._drift.observe(outcome.scores)
            self._publisher.publish(outcome.scores)
            refused += outcome.refused
        self._publisher.refuse(refused)
        self._committer.add(polled.next_offsets(), len(polled))

    def _step(self, new: Admitted) -> list[Outcome]:
        metrics, begun = self._metrics, time.perf_counter()
        metrics.applied.inc(new.applied)
        reach("before_step")
        outcomes = self._stepping.step(new)
        reach("after_step")
        metrics.step_time.observe_one(time.perf_counter() - begun)
        for outcome in outcomes:
            self._count(outcome)
        return outcomes

    def _count(self, outcome: Outcome) -> None:
        metrics, scores = self._metrics, outcome.scores
        metrics.scored.inc(len(scores))
        metrics.late.inc(int(scores.late.sum()))
        metrics.closed.inc(int(scores.closed.sum()))
        metrics.risk.observe(scores.risk)
        metrics.count_measured(scores.events.values)
        metrics.hidden.inc(outcome.hidden)
        metrics.silences.inc(outcome.silences)
        metrics.discharged.inc(outcome.discharges)
