"""Who lies in the places of a synthetic ward: admissions, transfers, discharges, and how each patient is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.synthetic.patients import FATE, PERSON, SILENCEABLE, arrivals
from stream.synthetic.scenario import Scenario

HOUR_MS = 3_600_000
PEAK_HOUR = 16.0
ILL = 0.04
"""Severity from which on a patient is measured closely, until well again."""
BEDS_OF_A_UNIT = 20

Rows = NDArray[np.int64] | slice


@dataclass(frozen=True, slots=True, repr=False)
class Condition:
    """How N patients are at a moment.

    courses: int8. severity: float32, 0 well, about 1 at the worst. arrest: float32, minutes since the heart
    stopped, NaN where it beats. of_day: float32, 1 at the height of the patient's day, -1 at night.
    arterial, ventilated: bool, has an arterial line, a ventilator. silent: bool [len(SILENCEABLE), N].
    """

    courses: NDArray[np.int8]
    severity: NDArray[np.float32]
    arrest: NDArray[np.float32]
    of_day: NDArray[np.float32]
    arterial: NDArray[np.bool_]
    ventilated: NDArray[np.bool_]
    silent: NDArray[np.bool_]

    @property
    def ill(self) -> NDArray[np.bool_]:
        return np.asarray((self.severity > ILL) | self.arresting)

    @property
    def arresting(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.arrest)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The condition of these patients, int64 [M]."""
        columns = (getattr(self, name)[..., rows] for name in self.__slots__)
        return type(self)(*columns)


class Census:
    """`places`, each of which has one patient at a time: when one has left, the next is admitted.

    people, fates: `PERSON` and `FATE` [places] of who lies there. admitted: int64 [places], ms.
    keys: the patients' ids. encounters: the ids of their stays. patients: how many were admitted so far,
    one who returned once.
    """

    def __init__(
        self, places: int, scenario: Scenario, newcomers: Scenario, seed: np.random.SeedSequence
    ) -> None:
        self.people, self.fates = np.zeros(places, PERSON), np.zeros(places, FATE)
        self.admitted = np.zeros(places, np.int64)
        self.keys, self.encounters = [b""] * places, [b""] * places
        self.patients = 0
        self._stays = np.zeros(places, np.int64)
        self._vacant = np.ones(places, np.bool_)
        self._in_icu = np.zeros(places, np.bool_)
        self._arrivals = arrivals(places, scenario, newcomers, seed)

    def admit(self, rows: slice, observed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Let the next patients into the vacant places of `rows`, at `observed` [N], ms; which those are."""
        places: NDArray[np.int64] = np.flatnonzero(self._vacant[rows]) + rows.start
        for place in places.tolist():
            person, fate = next(self._arrivals)
            if self.fates[place]["returns"]:
                self._stays[place] += 1
            else:
                self.people[place], self._stays[place] = person, 1
                self.patients += 1
            self.fates[place], self._in_icu[place] = fate, False
            self.keys[place] = b"sim-%06d" % int(self.people[place]["number"])
            self.encounters[place] = b"%s-%d" % (self.keys[place], int(self._stays[place]))
        self.admitted[places] = observed[places - rows.start]
        return places

    def moves(
        self, rows: slice, observed: NDArray[np.int64], places: NDArray[np.int64]
    ) -> Iterator[tuple[int, bytes]]:
        """The row within `rows`, and the event in JSON, of each patient who comes, is moved or leaves at
        `observed` [N], ms, and so is not observed. places: what `admit` has just returned."""
        fates, since = self.fates[rows], (observed - self.admitted[rows]) / HOUR_MS
        coming = np.zeros(len(observed), np.bool_)
        coming[places - rows.start] = True
        leaving = (since >= fates["leaves"]) & ~coming
        in_icu = (since >= fates["relieved"]) & (since < fates["well"]) & ~fates["dies"]
        moving = (in_icu != self._in_icu[rows]) & ~coming & ~leaving
        self._in_icu[rows] ^= moving
        self._vacant[rows] = leaving
        for row in np.flatnonzero(coming | leaving | moving).tolist():
            place, at = rows.start + row, int(observed[row])
            if coming[row]:
                static = self.people[place]["static"]
                yield row, self._event(b"admission", place, at, self._bed(place) + b',"static":{%s}' % static)
            elif leaving[row]:
                outcome = b"died" if fates[row]["dies"] else b"home"
                yield row, self._event(b"discharge", place, at, b',"outcome":"%s"' % outcome)
            else:
                yield row, self._event(b"transfer", place, at, self._bed(place))

    def _event(self, kind: bytes, place: int, at: int, members: bytes) -> bytes:
        return b'%s%d","observed_at":%d%s}' % (self.head(kind, place), at, at, members)

    def head(self, kind: bytes, place: int) -> bytes:
        """An event of the patient at `place` up to its `event_id`, which its time completes."""
        encounter = self.encounters[place]
        named = kind, self.keys[place], encounter, encounter
        return b'{"type":"%s","patient_id":"%s","encounter_id":"%s","event_id":"%s@' % named

    def _bed(self, place: int) -> bytes:
        unit, bed = divmod(place, BEDS_OF_A_UNIT)
        if self._in_icu[place]:
            return b',"unit":"icu","bed":"%d"' % (place + 1)
        return b',"unit":"med-%d","bed":"%d"' % (unit + 1, bed + 1)

    def condition(self, rows: slice, observed: NDArray[np.int64]) -> Condition:
        """How the patients of `rows` are at `observed` [N], ms."""
        fates, people = self.fates[rows], self.people[rows]
        since = (observed - self.admitted[rows]) / HOUR_MS
        worse = np.clip((since - fates["onset"]) / fates["rise"], 0.0, 1.0)
        better = np.clip((since - fates["relieved"]) / fates["fall"], 0.0, 1.0)
        seen_to = (since >= fates["relieved"]) & ~fates["dies"]
        stopped = (since >= fates["arrest"]) & ~seen_to
        hours_of_day = observed / HOUR_MS % 24.0 - PEAK_HOUR - people["acrophase"]
        return Condition(
            fates["course"],
            ((worse - better) * fates["strength"]).astype(np.float32),
            _minutes_since(fates["arrest"], since, stopped),
            np.cos(hours_of_day * (np.pi / 12.0)).astype(np.float32),
            people["arterial"],
            np.isfinite(fates["arrest"]) & seen_to,
            np.stack([self._silent(fates, since, sensor) for sensor in range(len(SILENCEABLE))]),
        )

    @staticmethod
    def _silent(fates: NDArray[np.void], since: NDArray[np.float64], sensor: int) -> NDArray[np.bool_]:
        return np.asarray((fates["silent_sensor"] == sensor) & (since >= fates["silent_from"]))


def _minutes_since(
    arrest: NDArray[np.float64], since: NDArray[np.float64], stopped: NDArray[np.bool_]
) -> NDArray[np.float32]:
    minutes = np.full(len(since), np.nan, np.float32)
    minutes[stopped] = 60.0 * (since[stopped] - arrest[stopped])
    return minutes
