"""The loop: consume, batch, decode, admit, step, publish, commit. One line a room."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.alert.vitals import VitalSigns
from stream.batch.batcher import Batcher
from stream.commit.committer import Committer
from stream.consume.source import Source
from stream.decode.decoder import Decoder
from stream.drift.watch import Blind, Watch
from stream.errors import BrokerUnavailable, EpochError
from stream.failpoints import reach
from stream.metrics import Metrics
from stream.publish import dead_letters
from stream.publish.sink import Sink
from stream.records import Assessment, Events, Kind, Outgoing, Records, Refused, Scores
from stream.state.admission import Admission, admit
from stream.state.restore import Restorer
from stream.state.standby import Standby
from stream.state.store import StateStore
from stream.step.stepper import Stepper

log = logging.getLogger(__name__)

TIDY_EVERY_S = 1.0
LOST_EPOCHS_IN_A_ROW = 5
IDLE_POLL_S = 0.1
JOIN_TIMEOUT_S = 30.0
NONE = np.empty(0, np.int64)


class Encoder(Protocol):
    """As `ScoreEncoder`."""

    def encode(self, scores: Scores, assessment: Assessment, scored_at: int) -> Outgoing: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the loop runs through, wired by `stream.assembly`."""

    source: Source
    batcher: Batcher
    decoder: Decoder
    store: StateStore
    restorer: Restorer
    standby: Standby
    stepper: Stepper
    drift: Watch | Blind
    vitals: VitalSigns
    encoder: Encoder
    dead_letters_topic: str
    max_dead_letter_bytes: int
    sink: Sink
    committer: Committer
    metrics: Metrics
    expire_after_ms: int


class Pipeline:
    """One worker's loop, on one thread. It is the source's `RebalanceListener`.

        assigned ──▶ restoring ──▶ running ──▶ revoked: the epoch is ended, then released
                        ▲             │   └──▶ lost: released
                        └─ epoch lost ┘

    An epoch that was not committed, or of which nobody knows, takes everything in memory with it: the sink
    begins anew (which fences the old producer), and all partitions are restored.

    clock: seconds since the Unix epoch.
    """

    def __init__(self, rooms: Rooms, clock: Callable[[], float] = time.time) -> None:
        self.rooms = rooms
        self.assigned: set[int] = set()
        self.running: set[int] = set()
        self.progressed = time.monotonic()
        self._clock = clock
        self._tidied = 0.0
        self._lost: EpochError | None = None
        self._lost_in_a_row = 0
        self._begun = False

    def turn(self, idle: float) -> int:
        """Take one micro-batch from the source to the sink; how many records it had. Blocks up to `idle`
        seconds where nothing comes. Raises `BrokerError` where a client gave up, `StateError` and `GapError`
        where a partition cannot be restored."""
        self._begin_anew_if_lost()
        try:
            self._start_restored()
            return self._score(idle)
        except EpochError as error:
            self._lost = error
            return 0

    def _score(self, idle: float) -> int:
        rooms = self.rooms
        polled = rooms.batcher.gather(rooms.source.poll, idle)
        if self.running != self.assigned:
            polled = polled.keep(np.isin(polled.partitions, sorted(self.running)))
        if len(polled):
            reach("polled")
            events, refused = self._decode(polled)
            admission = self._admit(events)
            scores, quarantined = self._step(admission)
            rooms.drift.observe(scores)
            self._publish(polled, scores, (refused, admission.repeated, quarantined))
        rooms.sink.service()
        rooms.committer.commit_if_due()
        self._note_progress()
        return len(polled)

    def run(self, stop: threading.Event, until_idle: float | None = None) -> None:
        """Turn until `stop` is set, or until no record came for `until_idle` seconds. The first
        `JOIN_TIMEOUT_S` without a partition do not count; one that gets none for longer ends too, with
        `BrokerUnavailable` if no broker answers."""
        last = owned = time.monotonic()
        while not stop.is_set():
            arrived, now = self.turn(IDLE_POLL_S), time.monotonic()
            if self.assigned:
                owned = now
            joining = not self.assigned and now - owned < JOIN_TIMEOUT_S
            restoring = self._lost is not None or self.assigned != self.running
            if arrived or joining or restoring:
                last = now
            if until_idle is not None and now - last >= until_idle:
                if not self.assigned:
                    self.rooms.source.committed([0])
                return

    def close(self) -> None:
        """End the epoch, leave the group; leave it too where something fails."""
        with ExitStack() as rooms:
            rooms.callback(self.rooms.standby.close)
            rooms.callback(self.rooms.restorer.close)
            rooms.callback(self.rooms.sink.close)
            rooms.callback(self.rooms.source.close)
            if self._lost is None:
                self.rooms.committer.settle()

    def on_assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s", sorted(partitions))
        self.assigned.update(partitions)
        self.rooms.standby.own(partitions)
        reach("assigned")
        if self._begun and self._lost is None:
            self.rooms.restorer.request(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", sorted(partitions))
        try:
            if self._lost is None:
                self.rooms.committer.settle()
        except EpochError as error:
            self._lost = error
        self._release(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        log.warning("lost: partitions %s; another scores again what was not committed", sorted(partitions))
        self._lost = self._lost or EpochError("the group has given partitions to others")
        self._release(partitions)

    def _begin_anew_if_lost(self) -> None:
        """Give up the epoch and what is in memory; where that cannot be done for want of a broker, in a
        later turn. At the start there is nothing to give up, but what an earlier process left open."""
        rooms = self.rooms
        if self._begun and self._lost is None:
            return
        if self._lost is not None and self._lost_in_a_row == LOST_EPOCHS_IN_A_ROW:
            raise self._lost
        owned = sorted(self.assigned)
        rooms.source.hold(owned)
        rooms.committer.forget(owned)
        self._forget(owned)
        try:
            rooms.sink.reset()
        except BrokerUnavailable as error:
            log.warning("waiting for the broker: %s", error)
            return
        if self._lost is not None:
            log.warning("an epoch is lost and done again from the last commit: %s", self._lost)
            rooms.metrics.epochs_lost.inc()
            self._lost_in_a_row += 1
        self._lost, self._begun = None, True
        rooms.restorer.request(owned)

    def _start_restored(self) -> None:
        for restored in self.rooms.restorer.restored():
            self.rooms.store.install(restored.partition, restored.patients, restored.stream_time)
            if restored.skipped:
                log.error("partition %d: %d events are gone", restored.partition, restored.skipped)
                self.rooms.metrics.skipped.inc(restored.skipped)
            self.rooms.source.start({restored.partition: restored.offset})
            self.running.add(restored.partition)
            reach("restored")

    def _decode(self, polled: Records) -> tuple[Events, Refused]:
        begun = time.perf_counter()
        decoded = self.rooms.decoder.decode(polled)
        metrics = self.rooms.metrics
        metrics.decode_time.observe_one(time.perf_counter() - begun)
        metrics.batch_size.observe_one(len(polled))
        metrics.consumed.inc(len(polled))
        metrics.dropped.labels("unknown_variable").inc(decoded.unknown_variables)
        metrics.dropped.labels("implausible").inc(decoded.implausible_values)
        return decoded.events, decoded.refused

    def _admit(self, events: Events) -> Admission:
        admission = admit(self.rooms.store, events, self.rooms.expire_after_ms)
        self.rooms.metrics.applied.inc(admission.applied)
        return admission

    def _step(self, new: Admission) -> tuple[Scores, Refused]:
        begun = time.perf_counter()
        reach("before_step")
        scores, quarantined = self.rooms.stepper.step(new.events, new.slots, new.stream_times)
        reach("after_step")
        metrics = self.rooms.metrics
        metrics.step_time.observe_one(time.perf_counter() - begun)
        metrics.scored.inc(len(scores))
        metrics.risk.observe(scores.risk)
        metrics.count_measured(scores.events.values)
        metrics.discharged.inc(int((new.events.kinds == Kind.DISCHARGE).sum()))
        return scores, quarantined

    def _publish(self, polled: Records, scores: Scores, refusals: Sequence[Refused]) -> None:
        rooms, now = self.rooms, int(self._clock() * 1000)
        if len(scores):
            assessment = rooms.vitals.assess(scores.vitals, scores.ages)
            outgoing = rooms.encoder.encode(scores, assessment, now)
            times = scores.events.observed_at, scores.events.timestamps

            rooms.sink.send(outgoing, lambda: self._acknowledged(*times))
            reach("scores_sent")
        for refused in filter(len, refusals):
            rooms.metrics.count_refused(refused.stage, refused.codes)
            letters = dead_letters.encode(refused, rooms.dead_letters_topic, now, rooms.max_dead_letter_bytes)
            rooms.sink.send(letters, self._acknowledged)
            reach("dead_letters_sent")
        rooms.committer.add(_next_offsets(polled), len(polled))

    def _acknowledged(self, observed_at: np.ndarray = NONE, timestamps: np.ndarray = NONE) -> None:
        reach("acknowledged")
        self._lost_in_a_row, now = 0, self._clock()
        self.rooms.metrics.event_latency.observe(np.maximum(now - observed_at / 1000, 0))
        self.rooms.metrics.record_latency.observe(np.maximum(now - timestamps / 1000, 0))

    def _note_progress(self) -> None:
        self.progressed = now = time.monotonic()
        if now - self._tidied >= TIDY_EVERY_S:
            self._tidied = now
            self.rooms.metrics.expired.inc(self.rooms.store.expire(self.rooms.expire_after_ms))
            self._show_gauges()

    def _show_gauges(self) -> None:
        metrics, store = self.rooms.metrics, self.rooms.store
        metrics.show_lag(self.rooms.source.lag())
        metrics.assigned.set(len(self.assigned))
        metrics.restoring.set(len(self.rooms.restorer.pending))
        metrics.followed.set(self.rooms.standby.followed)
        metrics.standby_lag.set(self.rooms.standby.lag)
        metrics.resident.set(store.resident)
        metrics.evicted.set(store.evicted)
        metrics.show_drift(self.rooms.drift.drift())

    def _release(self, partitions: Sequence[int]) -> None:
        """What is another member's from now on: nothing of it is stepped, committed or kept."""
        self.rooms.batcher.discard(partitions)
        self.rooms.committer.forget(partitions)
        self._forget(partitions)
        self.assigned.difference_update(partitions)
        self.rooms.standby.follow(partitions)

    def _forget(self, partitions: Sequence[int]) -> None:
        self.rooms.restorer.forget(partitions)
        self.running.difference_update(partitions)
        for partition in partitions:
            self.rooms.store.drop(partition)


def _next_offsets(records: Records) -> dict[int, int]:
    """For each partition the offset after its last record."""
    return {
        partition: int(records.offsets[records.partitions == partition].max()) + 1
        for partition in np.unique(records.partitions).tolist()
    }
