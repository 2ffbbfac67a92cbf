"""Stepper: the only stage that calls the model. Rows in, rows out: it knows no state store.

The events of a micro-batch come packed into waves, one event a patient in each, and with what the stays say
of them. They go through the model in segments: within one no stay begins, so that the model scans it in one
call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.shown import shown
from stream.columns.events import Events, Kind, Packing
from stream.columns.scores import Contributions, Scores
from stream.failpoints import reach
from stream.stays.record import VITAL_COLUMNS
from stream.stays.walk import Timeline
from stream.step.segments import Inputs, Segment, joined, keep_latest, segments


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


class Scored(NamedTuple):
    """N events that have a score. packing: of them into waves; timeline: in packed order."""

    events: Events
    packing: Packing
    timeline: Timeline


class Stepped(NamedTuple):
    """What the model makes of N events.

    scores: in the order of the events. finite: bool [N], in packed order; if one is not, its event would
    bring NaN or infinity into a patient's row, and neither scores nor rows may be used. rows: float32 [N, D]
    in packed order, on the device: the patient's row after each event. hidden: how many values were kept from
    the model, since none was trained on them."""

    scores: Scores
    finite: NDArray[np.bool_]
    rows: Tensor
    hidden: int


class Stepper:
    """Steps micro-batches.

    fresh: float32 [D], the row of a patient of whom nothing is known; its device is the model's. explain:
    what names the variables that moved the scores of `explain_from` and above, if any.
    """

    def __init__(
        self, model: Cell, fresh: Tensor, explain: Explain | None = None, explain_from: float = 0.0
    ) -> None:
        self._model = model
        self._fresh = fresh
        self._explain = explain
        self._explain_from = explain_from

    @torch.inference_mode()
    def step(self, scored: Scored, rows: Tensor) -> Stepped:
        """Blocks until the device is done. rows: float32 [G, D], of the packing's groups before the events;
        they may be changed."""
        events, packing, timeline = scored
        admitted = events.kinds[packing.order] == Kind.ADMISSION
        values, hidden = shown(events.values[packing.order])
        at = self._put(timeline.at) if timeline.late.any() else None
        given = Inputs(self._put(values), self._put(timeline.elapsed), self._put(timeline.hours), at)
        statics = self._put(_statics(scored)) if len(events.statics) else given.values[:0]
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
        finite = torch.isfinite(state.sum(dim=1).add_(risk)).cpu().numpy()
        scores = _scores(scored, risk.cpu().numpy(), *self._explained(causes, given))
        return Stepped(scores, finite, state, hidden)

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


def _statics(scored: Scored) -> NDArray[np.float32]:
    """In packed order: a row of statics for each event, NaN for those that are no admission and for those of
    an admission that a newer one has replaced."""
    events, packing, timeline = scored
    dense = np.full((len(events), events.statics.shape[1]), np.nan, np.float32)
    dense[events.kinds == Kind.ADMISSION] = events.statics
    dense = dense[packing.order]
    dense[~timeline.described] = np.nan
    return dense


def _scores(
    scored: Scored,
    risk: NDArray[np.float32],
    explained: NDArray[np.int64],
    explanation: tuple[NDArray[Any], ...],
) -> Scores:
    """In the order of the events. risk, explained: in packed order."""
    events, packing, timeline = scored
    place = packing.places
    return Scores(
        events,
        risk[place],
        timeline.counts[place],
        timeline.late[place],
        timeline.closed[place],
        timeline.vitals[place],
        timeline.ages[place],
        timeline.places[place],
        _contributions(scored, explained, explanation) if len(explained) else None,
    )


def _contributions(
    scored: Scored, explained: NDArray[np.int64], explanation: tuple[NDArray[Any], ...]
) -> Contributions:
    """With the last vital signs as they were measured. Of one that the model was not shown the value is NaN,
    which leaves it out: all else in its row is of the value that the model carries instead."""
    variables, effects, values, previous, gaps, extremes, ages = explanation
    last, since = (part[explained] for part in (scored.timeline.vitals, scored.timeline.ages))
    every = np.full((len(last), scored.events.values.shape[1]), np.nan, np.float32)
    every[:, VITAL_COLUMNS] = last
    vitals = shown(every)[0][:, VITAL_COLUMNS]
    for column, variable in enumerate(VITAL_COLUMNS.tolist()):
        rows, places = np.nonzero((variables == variable) & np.isfinite(values))
        values[rows, places], ages[rows, places] = vitals[rows, column], since[rows, column]
    rows = scored.packing.order[explained]
    return Contributions(rows, variables, effects, values, previous, gaps, extremes, ages)
