"""Stepper: the only stage that calls the model. State in, state out.

The events of a micro-batch are packed into waves, one event a patient in each. The stays are walked through
them first: that says which events have a score. Those go through the model in segments: within one no stay
begins, so that the model scans it in one call. Nothing is written to the state store before all results of a
try are found sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.shown import shown
from stream.columns.events import Code, Events, Kind, Packing, Refused
from stream.columns.scores import Contributions, Scores
from stream.failpoints import reach
from stream.state.slots import Slot
from stream.state.store import StateStore
from stream.stays.moments import Moments
from stream.stays.record import VITAL_COLUMNS, Periods
from stream.stays.walk import REFUSALS, Timeline, walk
from stream.step.segments import Inputs, Segment, joined, keep_latest, last_events, segments

TRIES = 8
"""How often a batch is tried, each time without the events found unsound before; then it is cut in two."""


class Cell(Protocol):
    """What the stepper needs of `model.risk_model.RiskModel`."""

    def admit(self, state: Tensor, statics: Tensor) -> Tensor: ...
    def scan(
        self,
        state: Tensor,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None,
    ) -> tuple[Tensor, Tensor]: ...


Explain = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], tuple[NDArray[Any], ...]]
"""Rows before M events, their values, elapsed, hours and at to the columns of `Contributions` but the
first."""


class Stepped(NamedTuple):
    """What a micro-batch came to.

    refused: one for each reason. hidden: how many values were kept from the model, since none was trained on
    them. silences: how many stays ended because their patient was silent for too long, by the patient's own
    time. discharges: how many were accepted."""

    scores: Scores
    refused: list[Refused]
    hidden: int
    silences: int
    discharges: int


@dataclass(frozen=True, slots=True, repr=False)
class _Outcome:
    """The model's results in packed order: the rows after each event on the device, the rest on the host.
    hidden: as in `Stepped`."""

    rows: Tensor
    risk: NDArray[np.float32]
    finite: NDArray[np.bool_]
    explained: NDArray[np.int64]
    explanation: tuple[NDArray[Any], ...]
    hidden: int


@dataclass(frozen=True, slots=True, repr=False)
class _Walked:
    """stays: after the walk, of the patients `groups`. codes, scored: of all events, as in `Timeline`, in
    their order. events, packing, timeline: of those that have a score."""

    groups: Slot
    stays: NDArray[np.void]
    codes: NDArray[np.int8]
    silences: int
    scored: NDArray[np.bool_]
    events: Events
    packing: Packing
    timeline: Timeline


class Stepper:
    """Applies a micro-batch to the state store.

    model and store are on one device. fresh: the row of a patient of whom nothing is known.
    pack: slots, int64 [N], to the waves. explain: what names the variables that moved the scores of
    `explain_from` and above, if any.
    """

    def __init__(
        self,
        model: Cell,
        store: StateStore,
        fresh: Tensor,
        pack: Callable[[Slot], Packing],
        periods: Periods,
        explain: Explain | None = None,
        explain_from: float = 0.0,
    ) -> None:
        self._model = model
        self._explain = explain
        self._explain_from = explain_from
        self._store = store
        self._fresh = fresh
        self._pack = pack
        self._periods = periods

    @torch.inference_mode()
    def step(self, events: Events, slots: Slot, stream_times: NDArray[np.int64]) -> list[Stepped]:
        """Scores of the observations and admissions among `events`, in their order, in as many parts as it
        takes, hardly ever more than one; blocks until the device is done. slots: int64 [N], of each event's
        patient. stream_times: int64 [N], ms.

        An event that would bring NaN or infinity into its slot is refused as `quarantined`, and the rest is
        stepped as if it had never come.
        """
        sound = np.ones(len(events), np.bool_)
        for _ in range(TRIES):
            walked = self._walk(events.keep(sound), slots[sound], stream_times[sound])
            outcome = self._scan(walked.events, walked.packing, walked.timeline)
            if outcome.finite.all():
                return [self._written(events, sound, walked, outcome)]
            sound[np.flatnonzero(sound)[_first_unsound(slots[sound], walked, outcome)]] = False
        early = np.arange(len(events)) < len(events) // 2
        halves = (early, ~early)
        return [
            stepped
            for half in halves
            for stepped in self.step(events.keep(half), slots[half], stream_times[half])
        ]

    def _walk(self, events: Events, slots: Slot, stream_times: NDArray[np.int64]) -> _Walked:
        packing = self._pack(slots)
        stays = self._store.stays(packing.groups)
        timeline = walk(stays, packing, Moments.of(events, stream_times, packing.order), self._periods)
        place = np.empty(len(events), np.int64)
        place[packing.order] = np.arange(len(events))
        codes, silences = timeline.codes[place], int(timeline.silent.sum())
        scored = timeline.scored[place]
        kept = packing
        if not scored.all():
            kept = self._pack(slots[scored])
            timeline = timeline.part(place[scored][kept.order])
        return _Walked(packing.groups, stays, codes, silences, scored, events.keep(scored), kept, timeline)

    def _written(
        self, events: Events, sound: NDArray[np.bool_], walked: _Walked, outcome: _Outcome
    ) -> Stepped:
        for patients, positions in last_events(walked.packing.sizes.tolist()):
            self._store.write_rows(walked.packing.groups[patients], outcome.rows[positions])
        self._store.write_stays(walked.groups, walked.stays)
        refused = [events.refuse(~sound, Code.QUARANTINED, "step")] if not sound.all() else []
        kept = events.keep(sound)
        if walked.codes.any():
            for number, code in enumerate(REFUSALS, start=1):
                if (rows := walked.codes == number).any():
                    refused.append(kept.refuse(rows, code, "state"))
        discharges = int(np.count_nonzero((kept.kinds == Kind.DISCHARGE) & (walked.codes == 0)))
        return Stepped(_scores(walked, outcome), refused, outcome.hidden, walked.silences, discharges)

    def _scan(self, events: Events, packing: Packing, timeline: Timeline) -> _Outcome:
        admitted = events.kinds[packing.order] == Kind.ADMISSION
        values, hidden = shown(events.values[packing.order])
        at = self._put(timeline.at) if timeline.late.any() else None
        given = Inputs(self._put(values), self._put(timeline.elapsed), self._put(timeline.hours), at)
        statics = self._put(_statics(events, packing, timeline)) if len(events.statics) else given.values[:0]
        rows = self._store.rows(packing.groups)
        states, risks, causes = [], [], []
        for segment in segments(packing, admitted | timeline.begins):
            part = given.part(slice(segment.start, segment.stop))
            state = self._begin(rows[: segment.sizes[0]], segment.first, admitted, timeline, statics)
            after, risk = self._model.scan(
                state, part.values, part.elapsed, part.hours, segment.sizes, part.at
            )
            states.append(after)
            risks.append(risk)
            if self._explain:
                causes.append(self._causes(state, after, risk, segment))
            if segment.stop < len(events):
                keep_latest(rows, after, segment.sizes)
        state, risk = joined(states), joined(risks)
        finite = torch.isfinite(state.sum(dim=1).add_(risk))
        explained, explanation = self._explained(causes, given)
        return _Outcome(state, risk.cpu().numpy(), finite.cpu().numpy(), explained, explanation, hidden)

    def _causes(
        self, state: Tensor, after: Tensor, risk: Tensor, segment: Segment
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Packed positions of a segment's events that are to be explained, and the rows before them: those of
        the first wave had `state`, the others what their patient's event in the wave before left."""
        chosen = np.flatnonzero((risk >= self._explain_from).cpu().numpy())
        ends = np.cumsum(segment.sizes)
        before = np.arange(ends[-1]) - np.repeat([0, *segment.sizes[:-1]], segment.sizes)
        first, later = chosen[chosen < ends[0]], chosen[chosen >= ends[0]]
        rows = (state.index_select(0, self._put(first)), after.index_select(0, self._put(before[later])))
        return chosen + segment.start, torch.cat(rows)

    def _explained(
        self, causes: list[tuple[NDArray[np.int64], Tensor]], given: Inputs
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]:
        positions = np.concatenate([chosen for chosen, _ in causes]) if causes else np.empty(0, np.int64)
        if self._explain is None or not len(positions):
            return positions, ()
        reach("explain")
        of = given.take(self._put(positions))
        rows = torch.cat([rows for _, rows in causes])
        return positions, self._explain(rows, of.values, of.elapsed, of.hours, of.at)

    def _begin(
        self, rows: Tensor, first: slice, admitted: NDArray[np.bool_], timeline: Timeline, statics: Tensor
    ) -> Tensor:
        """The rows with the stays begun that a segment's first wave begins: nothing of what was known before
        is kept; if it is an admission, its statics are applied."""
        if len(begins := np.flatnonzero(timeline.begins[first])):
            rows = rows.index_copy(0, self._put(begins), self._fresh.expand(len(begins), -1))
        if len(admissions := np.flatnonzero(admitted[first])):
            index = self._put(admissions)
            known = self._model.admit(rows.index_select(0, index), statics[first].index_select(0, index))
            rows = rows.index_copy(0, index, known)
        return rows

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._fresh.device, non_blocking=True)


def _first_unsound(slots: Slot, walked: _Walked, outcome: _Outcome) -> NDArray[np.int64]:
    """Rows, of all events that were tried, of each patient's first event that is not sound."""
    unsound = np.flatnonzero(walked.scored)[walked.packing.order[~outcome.finite]]
    return unsound[np.unique(slots[unsound], return_index=True)[1]]


def _statics(events: Events, packing: Packing, timeline: Timeline) -> NDArray[np.float32]:
    """In packed order: a row of statics for each event, NaN for those that are no admission and for those of
    an admission that a newer one has replaced."""
    dense = np.full((len(events), events.statics.shape[1]), np.nan, np.float32)
    dense[events.kinds == Kind.ADMISSION] = events.statics
    dense = dense[packing.order]
    dense[~timeline.described] = np.nan
    return dense


def _scores(walked: _Walked, outcome: _Outcome) -> Scores:
    """In the order of the events."""
    order, timeline = walked.packing.order, walked.timeline
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Scores(
        walked.events,
        outcome.risk[place],
        timeline.counts[place],
        timeline.late[place],
        timeline.closed[place],
        timeline.vitals[place],
        timeline.ages[place],
        timeline.places[place],
        _contributions(walked, outcome),
    )


def _contributions(walked: _Walked, outcome: _Outcome) -> Contributions | None:
    """With the last vital signs as they were measured. Of one that the model was not shown the value is NaN,
    which leaves it out: all else in its row is of the value that the model carries instead."""
    if not len(outcome.explained):
        return None
    variables, effects, values, previous, gaps, extremes, ages = outcome.explanation
    last, since = (part[outcome.explained] for part in (walked.timeline.vitals, walked.timeline.ages))
    every = np.full((len(last), walked.events.values.shape[1]), np.nan, np.float32)
    every[:, VITAL_COLUMNS] = last
    vitals = shown(every)[0][:, VITAL_COLUMNS]
    for column, variable in enumerate(VITAL_COLUMNS.tolist()):
        rows, places = np.nonzero((variables == variable) & np.isfinite(values))
        values[rows, places], ages[rows, places] = vitals[rows, column], since[rows, column]
    rows = walked.packing.order[outcome.explained]
    return Contributions(rows, variables, effects, values, previous, gaps, extremes, ages)
