"""What goes out: scores, and what was refused, into the open epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.assess.news2 import VitalSigns
from stream.columns.events import Refused
from stream.columns.records import Outgoing
from stream.columns.scores import Assessment, Scores
from stream.encode import dead_letters
from stream.failpoints import reach
from stream.kafka.sink import Sink
from stream.metrics import Metrics


class Encoder(Protocol):
    """As `stream.encode.scores.ScoreEncoder`."""

    def encode(self, scores: Scores, assessment: Assessment, scored_at: int) -> Outgoing: ...


class DeadLetters(NamedTuple):
    """The topic of the refused records. max_bytes: a larger one goes there without its value."""

    topic: str
    max_bytes: int


class Publisher:
    """Assesses scores, encodes them and sends them; dead letters likewise. clock: seconds since the Unix
    epoch."""

    def __init__(
        self,
        vitals: VitalSigns,
        encoder: Encoder,
        dead_letters: DeadLetters,
        sink: Sink,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vitals, self._encoder, self._dead_letters = vitals, encoder, dead_letters
        self._sink, self._metrics, self._clock = sink, metrics, clock

    def publish(self, scores: Scores) -> None:
        if not len(scores):
            return
        assessment = self._vitals.assess(scores.vitals, scores.ages)
        outgoing = self._encoder.encode(scores, assessment, self._now())
        times = scores.events.observed_at, scores.events.timestamps
        self._sink.send(outgoing, lambda: self._acknowledged(*times))
        reach("scores_sent")

    def refuse(self, refusals: Iterable[Refused]) -> None:
        for refused in filter(len, refusals):
            self._metrics.count_refused(refused.stage, refused.codes)
            letters = dead_letters.encode(
                refused, self._dead_letters.topic, self._now(), self._dead_letters.max_bytes
            )
            self._sink.send(letters, lambda: reach("acknowledged"))
            reach("dead_letters_sent")

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _acknowledged(self, observed_at: NDArray[np.int64], timestamps: NDArray[np.int64]) -> None:
        reach("acknowledged")
        now = self._clock()
        self._metrics.event_latency.observe(np.maximum(now - observed_at / 1000, 0))
        self._metrics.record_latency.observe(np.maximum(now - timestamps / 1000, 0))
