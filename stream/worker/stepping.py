"""Takes micro-batches through the state: reads what is known of a batch's patients, has the stays walked and
the model stepped, and keeps what they have become. Nothing is written before a whole try is found sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.batch.waves import pack
from stream.columns.events import Code, Events, Kind, Refused
from stream.columns.scores import Scores
from stream.state.admission import Admitted, admit
from stream.state.slots import Slot
from stream.state.store import StateStore
from stream.stays.moments import Moments
from stream.stays.record import Periods
from stream.stays.walk import REFUSALS, walk
from stream.step.stepper import Scored, Stepped, Stepper

TRIES = 8
"""How often a batch is tried, each time without the events found unsound before; then it is cut in two."""


class Outcome(NamedTuple):
    """What a micro-batch came to.

    scores: of the observations and admissions that were accepted, in their order. refused: one for each
    reason. hidden: as in `Stepped`. silences: how many stays ended because their patient was silent for too
    long, by the patient's own time. discharges: how many were accepted."""

    scores: Scores
    refused: list[Refused]
    hidden: int
    silences: int
    discharges: int


@dataclass(frozen=True, slots=True, repr=False)
class _Walked:
    """slots, stays: of the batch's patients; stays: `STAY` [G], after all events. codes: int8 [N], of all
    events in their order, as in `Timeline`. has_score: bool [N], the events of `scored` among them."""

    slots: Slot
    stays: NDArray[np.void]
    codes: NDArray[np.int8]
    silences: int
    has_score: NDArray[np.bool_]
    scored: Scored


class Stepping:
    """Owns the state while a batch is stepped: no stage reads or writes it then, and none holds it.

    max_past_ms: as in `stream.state.admission.admit`."""

    def __init__(self, store: StateStore, stepper: Stepper, periods: Periods, max_past_ms: int) -> None:
        self._store, self._stepper = store, stepper
        self._periods, self._max_past_ms = periods, max_past_ms

    def admit(self, events: Events) -> Admitted:
        """The events that are new to the state. Raises `StateError`."""
        return admit(self._store, events, self._max_past_ms)

    def step(self, batch: Admitted) -> list[Outcome]:
        """Scores of the observations and admissions among the events, in their order, in as many parts as it
        takes, hardly ever more than one; blocks until the device is done.

        An event that would bring NaN or infinity into its slot is refused as `quarantined`, and the rest is
        stepped as if it had never come.
        """
        events, slots = batch.events, batch.slots
        sound = np.ones(len(events), np.bool_)
        for _ in range(TRIES):
            walked = self._walk(events.keep(sound), slots[sound], batch.stream_times[sound])
            stepped = self._stepper.step(walked.scored, self._store.rows(walked.scored.packing.groups))
            if stepped.finite.all():
                return [self._kept(events, sound, walked, stepped)]
            sound[np.flatnonzero(sound)[_first_unsound(slots[sound], walked, stepped)]] = False
        early = np.arange(len(events)) < len(events) // 2
        return [outcome for half in (early, ~early) for outcome in self.step(batch.keep(half))]

    def _walk(self, events: Events, slots: Slot, stream_times: NDArray[np.int64]) -> _Walked:
        packing = pack(slots)
        stays = self._store.stays(packing.groups)
        timeline = walk(stays, packing, Moments.of(events, stream_times, packing.order), self._periods)
        places = packing.places
        codes, has_score = timeline.codes[places], timeline.scored[places]
        silences, kept = int(timeline.silent.sum()), packing
        if not has_score.all():
            kept = pack(slots[has_score])
            timeline = timeline.part(places[has_score][kept.order])
        return _Walked(
            packing.groups, stays, codes, silences, has_score, Scored(events.keep(has_score), kept, timeline)
        )

    def _kept(self, events: Events, sound: NDArray[np.bool_], walked: _Walked, stepped: Stepped) -> Outcome:
        packing = walked.scored.packing
        for patients, positions in packing.last_events():
            self._store.write_rows(packing.groups[patients], stepped.rows[positions])
        self._store.write_stays(walked.slots, walked.stays)
        refused = [events.refuse(~sound, Code.QUARANTINED, "step")] if not sound.all() else []
        tried = events.keep(sound)
        if walked.codes.any():
            for number, code in enumerate(REFUSALS, start=1):
                if (rows := walked.codes == number).any():
                    refused.append(tried.refuse(rows, code, "state"))
        discharges = int(np.count_nonzero((tried.kinds == Kind.DISCHARGE) & (walked.codes == 0)))
        return Outcome(stepped.scores, refused, stepped.hidden, walked.silences, discharges)


def _first_unsound(slots: Slot, walked: _Walked, stepped: Stepped) -> NDArray[np.int64]:
    """Rows, of all events that were tried, of each patient's first event that is not sound."""
    unsound = np.sort(np.flatnonzero(walked.has_score)[walked.scored.packing.order[~stepped.finite]])
    return unsound[np.unique(slots[unsound], return_index=True)[1]]
