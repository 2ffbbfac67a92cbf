"""What happens to a micro-batch between poll and commit: decode, admit, step, publish. One line a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.assess.news2 import VitalSigns
from stream.batch.batcher import Batcher
from stream.columns.events import Events, Refused
from stream.columns.records import Outgoing, Records
from stream.columns.scores import Assessment, Scores
from stream.commit.committer import Committer
from stream.decode.decoder import Decoder
from stream.drift.monitor import DriftMonitor, NullDriftMonitor
from stream.encode import dead_letters
from stream.failpoints import reach
from stream.kafka.sink import Sink
from stream.kafka.source import Source
from stream.metrics import Metrics
from stream.state.admission import Admission, admit
from stream.state.placement import Placement
from stream.state.restore import Restorer
from stream.state.standby import Standby
from stream.state.store import StateStore
from stream.step.stepper import Stepped, Stepper

NONE = np.empty(0, np.int64)


class Encoder(Protocol):
    """As `ScoreEncoder`."""

    def encode(self, scores: Scores, assessment: Assessment, scored_at: int) -> Outgoing: ...


@dataclass(frozen=True, slots=True)
class Stages:
    """What the loop runs through, wired by `stream.worker.assembly`."""

    source: Source
    batcher: Batcher
    decoder: Decoder
    placement: Placement
    store: StateStore
    restorer: Restorer
    standby: Standby
    stepper: Stepper
    drift: DriftMonitor | NullDriftMonitor
    vitals: VitalSigns
    encoder: Encoder
    dead_letters_topic: str
    max_dead_letter_bytes: int
    sink: Sink
    committer: Committer
    metrics: Metrics
    expire_after_ms: int
    max_past_ms: int


class Scoring:
    """Takes a micro-batch through the stages and into the open epoch. clock: seconds since the Unix epoch."""

    def __init__(self, stages: Stages, clock: Callable[[], float]) -> None:
        self.stages, self._clock = stages, clock

    def score(self, polled: Records) -> None:
        """Raises what a stage raises; then the epoch holds a part of the batch and may not be committed."""
        events, refused = self._decode(polled)
        events, elsewhere, misplaced = self.stages.placement.check(events)
        self.stages.metrics.misplaced.inc(misplaced)
        admission = self._admit(events)
        refusals = [refused, elsewhere, admission.refused]
        for stepped in self._step(admission):
            self.stages.drift.observe(stepped.scores)
            self._publish(stepped.scores)
            refusals += stepped.refused
        self._refuse(refusals)
        self.stages.committer.add(_next_offsets(polled), len(polled))

    def _decode(self, polled: Records) -> tuple[Events, Refused]:
        begun = time.perf_counter()
        decoded = self.stages.decoder.decode(polled)
        metrics = self.stages.metrics
        metrics.decode_time.observe_one(time.perf_counter() - begun)
        metrics.batch_size.observe_one(len(polled))
        metrics.consumed.inc(len(polled))
        for code, fields in decoded.dropped.items():
            metrics.dropped.labels(code.value).inc(fields)
        return decoded.events, decoded.refused

    def _admit(self, events: Events) -> Admission:
        admission = admit(self.stages.store, events, self.stages.max_past_ms)
        self.stages.metrics.applied.inc(admission.applied)
        return admission

    def _step(self, new: Admission) -> list[Stepped]:
        begun = time.perf_counter()
        reach("before_step")
        parts = self.stages.stepper.step(new.events, new.slots, new.stream_times)
        reach("after_step")
        metrics = self.stages.metrics
        metrics.step_time.observe_one(time.perf_counter() - begun)
        for scores, _, hidden, silences, discharges in parts:
            metrics.scored.inc(len(scores))
            metrics.late.inc(int(scores.late.sum()))
            metrics.closed.inc(int(scores.closed.sum()))
            metrics.risk.observe(scores.risk)
            metrics.count_measured(scores.events.values)
            metrics.hidden.inc(hidden)
            metrics.silences.inc(silences)
            metrics.discharged.inc(discharges)
        return parts

    def _publish(self, scores: Scores) -> None:
        if not len(scores):
            return
        stages = self.stages
        assessment = stages.vitals.assess(scores.vitals, scores.ages)
        outgoing = stages.encoder.encode(scores, assessment, self._now())
        times = scores.events.observed_at, scores.events.timestamps
        stages.sink.send(outgoing, lambda: self._acknowledged(*times))
        reach("scores_sent")

    def _refuse(self, refusals: Sequence[Refused]) -> None:
        stages = self.stages
        for refused in filter(len, refusals):
            stages.metrics.count_refused(refused.stage, refused.codes)
            letters = dead_letters.encode(
                refused, stages.dead_letters_topic, self._now(), stages.max_dead_letter_bytes
            )
            stages.sink.send(letters, self._acknowledged)
            reach("dead_letters_sent")

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _acknowledged(self, observed_at: np.ndarray = NONE, timestamps: np.ndarray = NONE) -> None:
        reach("acknowledged")
        now = self._clock()
        self.stages.metrics.event_latency.observe(np.maximum(now - observed_at / 1000, 0))
        self.stages.metrics.record_latency.observe(np.maximum(now - timestamps / 1000, 0))


def _next_offsets(records: Records) -> dict[int, int]:
    """For each partition the offset after its last record."""
    return {
        partition: int(records.offsets[records.partitions == partition].max()) + 1
        for partition in np.unique(records.partitions).tolist()
    }
