"""What `vitalstream rewarm` looks at: how far it is behind, and how far both models agree on the same
events."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from stream.columns.records import Outgoing, Records
from stream.columns.scores import Assessment, Scores
from stream.contracts.readers import UNREADABLE, Score, read_score
from stream.encode.scores import SHORT_HASH
from stream.errors import BrokerUnavailable
from stream.kafka.admin import partition_count
from stream.kafka.clients import make_admin, make_source
from stream.kafka.source import EARLIEST, Source
from stream.kafka.tail import BATCH, POLL_S
from stream.rewarm.agreement import Agreement, Comparison
from stream.settings import Settings

log = logging.getLogger(__name__)

MOST_AHEAD = 100_000
"""Scores of the running model that wait for the new one's: with more of them no further ones are read."""
GONE_S = 15.0
"""How long the running group must be without members, its offsets unchanged: a worker that a supervisor
starts again is back by then."""

Columns = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]


class Tap:
    """In place of the score encoder: keeps the new model's scores, and lets nothing out."""

    def __init__(self) -> None:
        self._scores: SimpleQueue[Columns] = SimpleQueue()

    def encode(self, scores: Scores, assessment: Assessment, scored_at: int) -> Outgoing:
        events = scores.events
        self._scores.put((events.partitions, events.offsets, scores.risk.astype(np.float64)))
        return Outgoing("", [], [])

    def drain(self) -> Iterator[Columns]:
        """Partitions, offsets and risks since the last call."""
        while True:
            try:
                yield self._scores.get_nowait()
            except Empty:
                return


@dataclass(frozen=True, slots=True)
class Standing:
    """behind: events that the running group has committed and the new one has not. seconds_left: at the
    present pace, None if unknown. caught_up: as near as the running group's pace allows. complete: the
    running group is gone for `GONE_S` and nothing is behind."""

    behind: int
    seconds_left: float | None
    caught_up: bool
    complete: bool
    agreement: Comparison


@dataclass(slots=True)
class _Pace:
    """Committed by both groups at a moment, all partitions together."""

    old: int
    new: int
    at: float = field(default_factory=time.monotonic)


class RewarmProgress:
    """model_hash: the new model's. every: seconds between reports. Its methods are for one thread."""

    def __init__(self, settings: Settings, beside: str, model_hash: str, tap: Tap, every: float) -> None:
        self._settings, self._beside = settings, beside
        self._hash, self._tap, self._every = model_hash[:SHORT_HASH], tap, every
        self._agreement = Agreement()
        self._full: set[int] = set()
        self._last: _Pace | None = None
        self._gone_since: float | None = None
        self.standing = Standing(0, None, False, False, self._agreement.figures())

    def reports(self, stop: threading.Event) -> Iterator[Standing]:
        """How it stands, every few seconds, until `stop` is set or the new states are complete: that is the
        last report. Raises `BrokerError`."""
        settings = self._settings
        with ExitStack() as resources:
            old, new, scores = (
                resources.enter_context(closing(make_source(settings, group)))
                for group in (self._beside, settings.application_id, None)
            )
            with closing(make_admin(settings)) as admin:
                numbers = range(partition_count(admin, settings.observations_topic))
            for group in (old, new):
                group.assign(settings.observations_topic, {})
            first = old.beginning_offsets(numbers)
            scores.assign(settings.scores_topic, dict.fromkeys(numbers, EARLIEST))
            while not stop.is_set() and not self.standing.complete:
                self._compare(scores, stop)
                try:
                    gone = self._without_members()
                    self._look(old.committed(numbers), first | new.committed(numbers), gone)
                except BrokerUnavailable as error:
                    log.warning("waiting for the broker: %s", error)
                    self._gone_since = None
                    continue
                yield self.standing

    def _without_members(self) -> bool:
        """Asks with a new client: one that is kept does not notice that a coordinator has moved."""
        with closing(make_admin(self._settings)) as admin:
            return not admin.group(self._beside).members

    def _compare(self, scores: Source, stop: threading.Event) -> None:
        until = time.monotonic() + self._every
        while time.monotonic() < until and not stop.is_set():
            self._add_old(scores.poll(BATCH, POLL_S))
            for partitions, offsets, risks in self._tap.drain():
                for partition in np.unique(partitions).tolist():
                    mine = partitions == partition
                    self._agreement.add_new(partition, offsets[mine], risks[mine])
            self._hold_back(scores)

    def _add_old(self, records: Records) -> None:
        for partition in np.unique(records.partitions).tolist():
            rows = np.flatnonzero(records.partitions == partition).tolist()
            others = [score for row in rows if (score := self._decoded(records.values[row])) is not None]
            offsets = np.array([score.source.offset for score in others], np.int64)
            self._agreement.add_old(
                partition, offsets, np.array([score.risk for score in others], np.float64)
            )

    def _decoded(self, value: bytes | None) -> Score | None:
        """None if the value is no score of this input by another model."""
        try:
            score = read_score(value or b"")
        except UNREADABLE:
            return None
        other = score.model.hash != self._hash and score.source.topic == self._settings.observations_topic
        return score if other else None

    def _hold_back(self, scores: Source) -> None:
        full = {
            partition for partition in scores.assignment() if self._agreement.waiting(partition) > MOST_AHEAD
        }
        if full - self._full:
            scores.pause(sorted(full - self._full))
        if self._full - full:
            scores.resume(sorted(self._full - full))
        self._full = full

    def _look(self, theirs: Mapping[int, int], ours: Mapping[int, int], gone: bool) -> None:
        """Both groups' committed offsets, queried after the membership, because members commit before they
        leave."""
        behind = sum(max(offset - ours[partition], 0) for partition, offset in theirs.items())
        last, now = self._last, _Pace(sum(theirs.values()), sum(ours[partition] for partition in theirs))
        self._last, left, arriving = now, None, 0.0
        if last is not None:
            seconds = now.at - last.at
            arriving = max(now.old - last.old, 0) / seconds
            gaining = (now.new - last.new) / seconds - arriving
            left = behind / gaining if behind and gaining > 0 else None
        if not gone or last is None or now.old != last.old:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now.at
        stays_away = self._gone_since is not None and now.at - self._gone_since >= GONE_S
        caught_up = bool(theirs) and behind <= arriving * self._every
        complete = stays_away and bool(theirs) and not behind
        self.standing = Standing(behind, left, caught_up, complete, self._agreement.figures())
