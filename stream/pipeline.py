"""The loop: consume, batch, decode, admit, step, publish, commit. One line a room."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from stream.alert.vitals import VitalSigns
from stream.batch.batcher import Batcher
from stream.commit.committer import Committer
from stream.consume.source import Source
from stream.decode.decoder import Decoder
from stream.metrics import Metrics
from stream.publish import dead_letters
from stream.publish.scores import ScoreEncoder
from stream.publish.sink import Sink
from stream.records import Code, Events, Kind, Records, Refused, Scores
from stream.state.repeats import repeats
from stream.state.slots import Slot
from stream.state.store import StateStore
from stream.step.stepper import Stepper

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 10.0
GAUGES_EVERY_S = 1.0
IDLE_POLL_S = 0.1
JOIN_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the loop runs through, wired by `stream.assembly`."""

    source: Source
    batcher: Batcher
    decoder: Decoder
    store: StateStore
    stepper: Stepper
    vitals: VitalSigns
    encoder: ScoreEncoder
    dead_letters_topic: str
    max_dead_letter_bytes: int
    sink: Sink
    committer: Committer
    metrics: Metrics


class Pipeline:
    """One worker's loop, on one thread. It is the source's `RebalanceListener`.

    clock: seconds since the Unix epoch.
    """

    def __init__(self, rooms: Rooms, clock: Callable[[], float] = time.time) -> None:
        self.rooms = rooms
        self.assigned: set[int] = set()
        self.progressed = time.monotonic()
        self._clock = clock
        self._gauged = 0.0

    def turn(self, idle: float) -> int:
        """Take one micro-batch from the source to the sink; how many records it had. Blocks up to `idle`
        seconds where nothing comes. Raises `BrokerError` where a client gave up."""
        rooms = self.rooms
        polled = rooms.batcher.gather(rooms.source.poll, idle)
        if len(polled):
            events, refused = self._decode(polled)
            novel, slots, repeated = self._admit(events)
            scores, quarantined = self._step(novel, slots)
            self._publish(polled, scores, (refused, repeated, quarantined))
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
            if arrived or joining:
                last = now
            if until_idle is not None and now - last >= until_idle:
                if not self.assigned:
                    self.rooms.source.committed([0])
                return

    def close(self) -> None:
        """Finish what was sent, commit it, leave the group; leave it too where something fails."""
        with ExitStack() as rooms:
            rooms.callback(self.rooms.sink.close)
            rooms.callback(self.rooms.source.close)
            self._settle()

    def on_assigned(self, partitions: Sequence[int]) -> None:
        log.info("assigned: partitions %s; their patients start without history", sorted(partitions))
        self.assigned.update(partitions)

    def on_revoked(self, partitions: Sequence[int]) -> None:
        log.info("revoked: partitions %s", sorted(partitions))
        self._settle()
        self._release(partitions)

    def on_lost(self, partitions: Sequence[int]) -> None:
        log.warning("lost: partitions %s; another scores again what was not committed", sorted(partitions))
        self._release(partitions)

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

    def _admit(self, events: Events) -> tuple[Events, Slot, Refused]:
        """A slot for each event's patient, and what was sent twice."""
        store = self.rooms.store
        slots = store.admit(events.patients, events.partitions)
        repeated = repeats(slots, events.digests, store.digests(slots), events.kinds)
        store.remember(slots, events.digests)
        refused = events.refuse(repeated, Code.DUPLICATE, "state")
        return events.keep(~repeated), slots[~repeated], refused

    def _step(self, events: Events, slots: Slot) -> tuple[Scores, Refused]:
        begun = time.perf_counter()
        scores, quarantined = self.rooms.stepper.step(events, slots)
        metrics = self.rooms.metrics
        metrics.step_time.observe_one(time.perf_counter() - begun)
        metrics.scored.inc(len(scores))
        metrics.discharged.inc(int((events.kinds == Kind.DISCHARGE).sum()))
        return scores, quarantined

    def _publish(self, polled: Records, scores: Scores, refusals: Sequence[Refused]) -> None:
        rooms, now = self.rooms, int(self._clock() * 1000)
        refusals = [refused for refused in refusals if len(refused)]
        epoch = rooms.committer.open(_next_offsets(polled), len(polled), len(refusals) + bool(len(scores)))
        if len(scores):
            assessment = rooms.vitals.assess(scores.vitals, scores.ages)
            outgoing = rooms.encoder.encode(scores, assessment, now)
            times = scores.events.observed_at, scores.events.timestamps

            def acknowledged() -> None:
                epoch.acknowledged()
                self._note_latency(*times)

            rooms.sink.send(outgoing, acknowledged)
        for refused in refusals:
            rooms.metrics.count_refused(refused.stage, refused.codes)
            letters = dead_letters.encode(refused, rooms.dead_letters_topic, now, rooms.max_dead_letter_bytes)
            rooms.sink.send(letters, epoch.acknowledged)

    def _note_latency(self, observed_at: np.ndarray, timestamps: np.ndarray) -> None:
        now = self._clock()
        self.rooms.metrics.event_latency.observe(np.maximum(now - observed_at / 1000, 0))
        self.rooms.metrics.record_latency.observe(np.maximum(now - timestamps / 1000, 0))

    def _note_progress(self) -> None:
        self.progressed = now = time.monotonic()
        if now - self._gauged < GAUGES_EVERY_S:
            return
        self._gauged = now
        metrics, store = self.rooms.metrics, self.rooms.store
        metrics.show_lag(self.rooms.source.lag())
        metrics.assigned.set(len(self.assigned))
        metrics.resident.set(store.resident)
        metrics.evicted.set(store.evicted)

    def _settle(self) -> None:
        """Wait until everything sent is acknowledged, and commit it."""
        self.rooms.sink.flush(FLUSH_TIMEOUT_S)
        self.rooms.committer.commit()

    def _release(self, partitions: Sequence[int]) -> None:
        """What is another member's from now on: nothing of it is stepped, committed or kept."""
        self.rooms.batcher.discard(partitions)
        self.rooms.committer.forget(partitions)
        for partition in partitions:
            self.rooms.store.drop(partition)
        self.assigned.difference_update(partitions)


def _next_offsets(records: Records) -> dict[int, int]:
    """For each partition the offset after its last record."""
    return {
        partition: int(records.offsets[records.partitions == partition].max()) + 1
        for partition in np.unique(records.partitions).tolist()
    }
