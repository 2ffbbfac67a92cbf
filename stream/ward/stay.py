"""A stay as the scores report it, and what events mean for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stream.columns.records import Place
from stream.contracts.readers import Score
from stream.ward.latest import Notice, Reading, Saying, Whereabouts
from stream.ward.trend import Trend

NOWHERE: Place = (-1, -1)


class WardProgress(NamedTuple):
    """What is known beside the patient. since_ms: nothing older counts. grace_ms: the worker's discharge
    grace. done: partition of the input → the last offset that the worker is known to have passed."""

    since_ms: int
    grace_ms: int
    done: Mapping[int, int]


class Stay:
    """score: the last, which shows what the worker makes of all that stands before it in the log. scored_at:
    when the latest event happened that has one, ms.
    """

    __slots__ = ("_began", "_begun_at", "_floor", "_opened_at", "score", "scored_at", "trend")

    def __init__(self, bucket_ms: int) -> None:
        self.trend = Trend(bucket_ms)
        self.score: Score | None = None
        self.scored_at = 0
        # Where the stay begins in the log; what stands before is of it only if it happened from `_floor` on.
        self._began, self._floor = NOWHERE, 0
        self._opened_at = 0  # when the event happened that put the stay in the place of another
        self._begun_at = 0  # the earliest of the stay, if it is known how it began

    def is_other(self, score: Score) -> bool:
        """Whether the score is known to be of another stay, by its encounter."""
        differs = self.score and _differ(score.encounter_id, self.score.encounter_id)
        return bool(differs and not self._goes_on(score))

    def ends_with(self, score: Score) -> bool:
        """Whether another stay begins with this score. One that is read again does not begin it again."""
        again = self.score and _reaches(_place(self.score), _place(score))
        return self.is_other(score) or (score.state.events == 1 and not again)

    def _goes_on(self, score: Score) -> bool:
        """Whether it counts the events of this stay on: a better name took the place of a laboratory's."""
        return bool(self.score and score.state.events > self.score.state.events)

    def next(self, score: Score) -> Stay:
        """The one that begins with this score; it is yet to be taken."""
        following = Stay(self.trend.bucket_ms)
        before = self.scored_at + 1 if self.score else score.observed_at
        following._began, following._floor = _place(score), min(before, score.observed_at)
        following._begun_at = score.observed_at
        following._opened_at = score.observed_at if self.score else 0
        return following

    def scored(self, score: Score) -> None:
        """Take a score of this stay."""
        self.score, self.scored_at = score, max(self.scored_at, score.observed_at)
        self._begun_at = min(self._begun_at, score.observed_at)
        self.trend.add(score.observed_at, score.risk)

    def has(self, fact: Reading | Saying) -> bool:
        """Whether it is of this stay."""
        return fact.at >= self._floor or _reaches((fact.partition, fact.offset), self._began)

    def is_closed(self, notices: Iterable[Notice], progress: WardProgress, measured_at: int) -> bool:
        """The last score says it for the moment at which it was made; from there on the times of discharges
        and cancellations decide, as in the worker. notices: in the order of the log. measured_at: when
        anything was measured at the bed, ms."""
        closed_at = cancelled_at = 0
        own = [
            notice
            for notice in notices
            if self._concerns(notice, progress)
            and (notice.at > self._opened_at or _reaches((notice.partition, notice.offset), self._began))
            and (notice.cancel or measured_at <= notice.at + progress.grace_ms)
        ]
        before = [notice for notice in own if self._counted(notice)]
        for notice in [*before, None, *(notice for notice in own if notice not in before)]:
            if notice is None:
                closed_at = (closed_at or 1) if self.score and self.score.state.closed else 0
            elif notice.cancel:
                cancelled_at = max(cancelled_at, notice.at)
                closed_at = 0 if closed_at <= notice.at else closed_at
            elif notice.at > cancelled_at:
                closed_at = max(closed_at, notice.at)
        return closed_at > 0

    def whereabouts(self, sayings: Iterable[Saying]) -> Whereabouts:
        """By replaying the log. What the score says counts from the last event on that has one."""
        where, place = Whereabouts(), _place(self.score) if self.score else NOWHERE
        sayings_here = sorted(filter(self.has, sayings), key=lambda saying: (saying.offset, saying.partition))
        before = [saying for saying in sayings_here if _reaches(place, (saying.partition, saying.offset))]
        for saying in before:
            where.moved(saying.at, saying.unit, saying.bed)
        if self.score:
            where.scored(self.scored_at, self.score.unit or "", self.score.bed or "")
        for saying in sayings_here:
            if saying not in before:
                where.moved(saying.at, saying.unit, saying.bed)
        return where

    def _concerns(self, notice: Notice, progress: WardProgress) -> bool:
        """What the worker has passed and not refused is of the stay. Until then, a discharge that names
        another encounter, or that is of before the stay, is probably refused: it is better to show a
        patient who has left than to hide one who is here."""
        if notice.cancel or notice.offset <= progress.done.get(notice.partition, -1):
            return True
        known = self.score.encounter_id if self.score else None
        if _differ(known, notice.encounter):
            return False
        return notice.at >= self._begun_at or bool(known and known == notice.encounter)

    def _counted(self, notice: Notice) -> bool:
        """Whether the score was made with it. Times decide if the log does not, or if the worker is an
        old one, which does not report that a stay is closed."""
        if not self.score:
            return False
        place, later = _place(self.score), self.score.observed_at > notice.at
        if notice.partition != place[0]:
            return later
        known = later or self.score.state.closed is not None
        return known and _reaches(place, (notice.partition, notice.offset))


def _place(score: Score) -> Place:
    return score.source.partition, score.source.offset


def _reaches(place: Place, other: Place) -> bool:
    """Whether it is known to stand no earlier in the log."""
    return place[0] == other[0] and place[1] >= other[1]


def _differ(known: str | None, other: str | None) -> bool:
    """Whether they are known to be two encounters."""
    return bool(known and other and known != other)
