"""Stepper: the only room that calls the model. State in, state out.

The events of a micro-batch are packed into waves, one event a patient in each. Waves go through the model
in stretches: within one no stay begins or ends, so that the model scans it in one call. Nothing is written
to the state store before all results are found sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.failpoints import reach
from stream.records import Code, Contributions, Events, Kind, Packing, Refused, Scores
from stream.state.slots import Slot
from stream.state.stays import Moments, Timeline, advance
from stream.state.store import StateStore

PATIENCE = 8


class Cell(Protocol):
    """What the stepper needs of `model.risk_model.RiskModel`."""

    def admit(self, state: Tensor, statics: Tensor) -> Tensor: ...
    def scan(
        self, state: Tensor, values: Tensor, elapsed: Tensor, hours: Tensor, sizes: Sequence[int]
    ) -> tuple[Tensor, Tensor]: ...
    def vitals(self, state: Tensor) -> tuple[Tensor, Tensor]: ...


Explain = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[NDArray[Any], ...]]
"""Rows before M events, their values, elapsed and hours to the columns of `Contributions` but the first."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Waves of `sizes`, from position `start` of the packing; only the first may hold events that begin
    a stay, only the last discharges."""

    start: int
    sizes: list[int]

    @property
    def first(self) -> slice:
        return slice(self.start, self.start + self.sizes[0])

    @property
    def last(self) -> slice:
        return slice(self.stop - self.sizes[-1], self.stop)

    @property
    def stop(self) -> int:
        return self.start + sum(self.sizes)


@dataclass(frozen=True, slots=True, repr=False)
class _Outcome:
    """The model's results in packed order, on the host, and each patient's row after the last event."""

    rows: Tensor
    risk: NDArray[np.float32]
    finite: NDArray[np.bool_]
    vitals: NDArray[np.float32]
    ages: NDArray[np.float32]
    explained: NDArray[np.int64]
    explanation: tuple[NDArray[Any], ...]


class Stepper:
    """Applies a micro-batch to the state store.

    model and store are on one device. fresh: the row of a patient of whom nothing is known.
    pack: slots, int64 [N], to the waves. expire_after_ms: event time after which a silent patient's stay
    has ended. explain: what names the variables that moved the scores of `explain_from` and above, if any.
    """

    def __init__(
        self,
        model: Cell,
        store: StateStore,
        fresh: Tensor,
        pack: Callable[[Slot], Packing],
        expire_after_ms: int,
        explain: Explain | None = None,
        explain_from: float = 0.0,
    ) -> None:
        self._model = model
        self._explain = explain
        self._explain_from = explain_from
        self._store = store
        self._fresh = fresh
        self._pack = pack
        self._expire_after_ms = expire_after_ms

    @torch.inference_mode()
    def step(self, events: Events, slots: Slot, stream_times: NDArray[np.int64]) -> tuple[Scores, Refused]:
        """Scores of the observations and admissions among `events`, in their order; blocks until the
        device is done. slots: int64 [N], of each event's patient. stream_times: int64 [N], ms.

        An event that would bring NaN or infinity into its slot is refused as `quarantined`, and the rest is
        stepped as if it had never come; of a patient with more than `PATIENCE` such events in one batch, all
        that are left in it are refused. A discharge clears its slot; slots whose last event it is are freed.
        """
        sound = np.ones(len(events), np.bool_)
        for found in count():
            kept = events.keep(sound)
            packing = self._pack(slots[sound])
            stays = self._store.stays(packing.groups)
            moments = _moments(kept, stream_times[sound], packing)
            timeline = advance(stays, packing, moments, self._expire_after_ms)
            outcome = self._scan(kept, packing, timeline)
            unsound = packing.order[~outcome.finite & (kept.kinds[packing.order] != Kind.DISCHARGE)]
            if not len(unsound):
                break
            sound[np.flatnonzero(sound)[_dropped(slots[sound], unsound, found)]] = False
        self._store.write(packing.groups, outcome.rows, stays)
        self._store.remember(slots, events.digests)
        touched = packing.groups if sound.all() else np.unique(slots)
        self._store.release(touched[self._store.stays(touched)["events"] == 0])
        refused = events.refuse(~sound, Code.QUARANTINED, "step")
        return _scores(kept, packing, timeline, outcome), refused

    def _scan(self, events: Events, packing: Packing, timeline: Timeline) -> _Outcome:
        kinds = events.kinds[packing.order]
        values = self._put(events.values[packing.order])
        elapsed, hours = self._put(timeline.elapsed), self._put(timeline.hours)
        statics = self._put(_statics(events)[packing.order]) if len(events.statics) else values[:0]
        rows = self._store.rows(packing.groups)
        states, risks, causes = [], [], []
        begins = (kinds == Kind.ADMISSION) | timeline.again
        for stretch in _stretches(packing, begins, kinds == Kind.DISCHARGE):
            part = slice(stretch.start, stretch.stop)
            state = self._begin(rows[: stretch.sizes[0]], stretch.first, kinds, timeline, statics)
            after, risk = self._model.scan(state, values[part], elapsed[part], hours[part], stretch.sizes)
            states.append(after)
            risks.append(risk)
            if self._explain:
                causes.append(self._causes(state, after, risk, stretch, kinds))
            rows = self._latest(rows, after, stretch, kinds)
        state, risk = _joined(states), _joined(risks)
        vitals, ages = self._model.vitals(state)
        finite = torch.isfinite(state.sum(dim=1).add_(risk))
        explained, explanation = self._explained(causes, values, elapsed, hours)
        host = [part.cpu().numpy() for part in (risk, finite, vitals, ages)]
        return _Outcome(rows, host[0], host[1], host[2], host[3], explained, explanation)

    def _causes(
        self, state: Tensor, after: Tensor, risk: Tensor, stretch: _Stretch, kinds: NDArray[np.int8]
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Packed positions of a stretch's events that are to be explained, and the rows before them: those of
        the first wave had `state`, the others what their patient's event in the wave before left."""
        wanted = (risk >= self._explain_from).cpu().numpy()
        wanted &= kinds[stretch.start : stretch.stop] != Kind.DISCHARGE
        chosen = np.flatnonzero(wanted)
        ends = np.cumsum(stretch.sizes)
        before = np.arange(ends[-1]) - np.repeat([0, *stretch.sizes[:-1]], stretch.sizes)
        first, later = chosen[chosen < ends[0]], chosen[chosen >= ends[0]]
        rows = (state.index_select(0, self._put(first)), after.index_select(0, self._put(before[later])))
        return chosen + stretch.start, torch.cat(rows)

    def _explained(
        self, causes: list[tuple[NDArray[np.int64], Tensor]], values: Tensor, elapsed: Tensor, hours: Tensor
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]:
        positions = np.concatenate([chosen for chosen, _ in causes]) if causes else np.empty(0, np.int64)
        if self._explain is None or not len(positions):
            return positions, ()
        reach("explain")
        index = self._put(positions)
        events = (part.index_select(0, index) for part in (values, elapsed, hours))
        return positions, self._explain(torch.cat([rows for _, rows in causes]), *events)

    def _begin(
        self, rows: Tensor, first: slice, kinds: NDArray[np.int8], timeline: Timeline, statics: Tensor
    ) -> Tensor:
        """The rows with the stays begun that a stretch's first wave begins: where there was one before,
        nothing of it is kept; where it is an admission, its statics are applied."""
        if len(again := np.flatnonzero(timeline.again[first])):
            rows = rows.index_copy(0, self._put(again), self._fresh.expand(len(again), -1))
        if len(admissions := np.flatnonzero(kinds[first] == Kind.ADMISSION)):
            index = self._put(admissions)
            admitted = self._model.admit(rows.index_select(0, index), statics[first].index_select(0, index))
            rows = rows.index_copy(0, index, admitted)
        return rows

    def _latest(self, rows: Tensor, after: Tensor, stretch: _Stretch, kinds: NDArray[np.int8]) -> Tensor:
        """The patients' rows [G, D] after a stretch: that of the last event, fresh where it is a
        discharge."""
        positions = np.zeros(stretch.sizes[0], np.int64)
        begin = 0
        for size in stretch.sizes:
            positions[:size] = np.arange(begin, begin + size)
            begin += size
        latest = after.index_select(0, self._put(positions))
        discharged = np.flatnonzero(kinds[stretch.last] == Kind.DISCHARGE)
        if len(discharged):
            latest.index_copy_(0, self._put(discharged), self._fresh.expand(len(discharged), -1))
        return torch.cat([latest, rows[len(latest) :]]) if len(latest) < len(rows) else latest

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._fresh.device, non_blocking=True)


def _dropped(slots: Slot, unsound: NDArray[np.int64], found: int) -> NDArray[np.int64]:
    """Rows to leave out of the next try: each patient's first unsound one, or, from try `PATIENCE` on, all of
    the patient's. unsound: rows in packed order."""
    if found >= PATIENCE:
        return np.flatnonzero(np.isin(slots, slots[unsound]))
    return unsound[np.unique(slots[unsound], return_index=True)[1]]


def _stretches(packing: Packing, begins: NDArray[np.bool_], ends: NDArray[np.bool_]) -> Iterator[_Stretch]:
    """The waves in order, cut before one in which a stay begins anew and after one in which one ends."""
    begin = start = 0
    sizes: list[int] = []
    for size in packing.sizes.tolist() or [0]:
        wave = slice(start, start + size)
        if sizes and begins[wave].any():
            yield _Stretch(begin, sizes)
            begin, sizes = start, []
        sizes.append(size)
        start += size
        if ends[wave].any():
            yield _Stretch(begin, sizes)
            begin, sizes = start, []
    if sizes:
        yield _Stretch(begin, sizes)


def _moments(events: Events, stream_times: NDArray[np.int64], packing: Packing) -> Moments:
    order = packing.order
    return Moments(events.kinds[order], events.observed_at[order], events.offsets[order], stream_times[order])


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _statics(events: Events) -> NDArray[np.float32]:
    """A row of statics for each event, NaN for those that are no admission."""
    dense = np.full((len(events), events.statics.shape[1]), np.nan, np.float32)
    dense[events.kinds == Kind.ADMISSION] = events.statics
    return dense


def _scores(events: Events, packing: Packing, timeline: Timeline, outcome: _Outcome) -> Scores:
    """In the order of the events, without the discharges."""
    place = np.empty(len(events), np.int64)
    place[packing.order] = np.arange(len(events))
    scored = events.kinds != Kind.DISCHARGE
    place = place[scored]
    return Scores(
        events.keep(scored),
        outcome.risk[place],
        timeline.counts[place],
        timeline.late[place],
        outcome.vitals[place],
        outcome.ages[place],
        _contributions(packing, scored, outcome),
    )


def _contributions(packing: Packing, scored: NDArray[np.bool_], outcome: _Outcome) -> Contributions | None:
    """scored: bool [N], the events that have a score."""
    if not len(outcome.explained):
        return None
    rows = np.cumsum(scored) - 1
    return Contributions(rows[packing.order[outcome.explained]], *outcome.explanation)
