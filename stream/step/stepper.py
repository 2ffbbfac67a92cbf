"""Stepper: the only room that calls the model. State in, state out, one wave at a time.

A micro-batch is gathered once and stepped wave by wave on a dense block of rows, of which each wave
is a prefix; a patient's row is scattered after its last wave. Nothing waits for the device until the
results are copied to the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.records import Code, Events, Kind, Packing, Refused, Scores
from stream.state.store import StateStore, Stay

MS_PER_HOUR = 3_600_000.0


class Cell(Protocol):
    """What the stepper needs of `model.risk_model.RiskModel`."""

    def admit(self, state: Tensor, statics: Tensor) -> Tensor: ...
    def step(self, state: Tensor, values: Tensor, elapsed: Tensor) -> tuple[Tensor, Tensor]: ...
    def vitals(self, state: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True)
class _Wave:
    """One event each of the first `size` patients; positions `start` to `start + size` of the packing.
    The next wave has the first `following` of them."""

    start: int
    size: int
    following: int
    admissions: NDArray[np.int64]
    discharges: NDArray[np.int64]

    @property
    def positions(self) -> slice:
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The events in packed order, on the device."""

    observed_at: Tensor
    values: Tensor
    statics: Tensor


class Stepper:
    """Applies a micro-batch to the state store. `model` and `store` are on the same device."""

    def __init__(self, model: Cell, store: StateStore, fresh: Tensor) -> None:
        self._model = model
        self._store = store
        self._fresh = fresh
        self._device = fresh.device

    @torch.inference_mode()
    def step(self, events: Events, packing: Packing) -> tuple[Scores, Refused]:
        """Scores of the observations and admissions among `events`, in their order; blocks until the
        device is done.

        packing: of the events by their slot. Where an event would bring NaN or infinity into a slot,
        its state stays as it was before the event, and the event is refused as `quarantined`.
        A discharge clears its slot; slots whose last event it is are freed.
        """
        slots = torch.from_numpy(packing.groups).to(self._device)
        columns = self._columns(events, packing.order)
        row, stay = self._store.gather(slots)
        outcomes = []
        for wave in _waves(packing, events.kinds):
            row, stay, outcome = self._wave(wave, row[: wave.size], stay[: wave.size], columns)
            done = slice(wave.following, wave.size)
            self._store.scatter(slots[done], row[done], stay[done])
            outcomes.append(outcome)
        self._release(events, packing)
        risk, finite, counts, late, vitals, ages = (
            _unpack(torch.cat(parts), packing.order) for parts in zip(*outcomes, strict=True)
        )
        stepped = events.kinds != Kind.DISCHARGE
        sound = stepped & finite
        scores = Scores(
            events.keep(sound), risk[sound], counts[sound], late[sound], vitals[sound], ages[sound]
        )
        bad = np.flatnonzero(stepped & ~finite)
        return scores, Refused(
            events.records, events.rows[bad].tolist(), [Code.QUARANTINED] * len(bad), "step"
        )

    def _columns(self, events: Events, order: NDArray[np.int64]) -> _Columns:
        statics = events.statics
        if len(statics):
            dense = np.full((len(events), statics.shape[1]), np.nan, np.float32)
            dense[events.kinds == Kind.ADMISSION] = statics
            statics = dense[order]
        return _Columns(
            self._put(events.observed_at[order]), self._put(events.values[order]), self._put(statics)
        )

    def _put(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _wave(
        self, wave: _Wave, row: Tensor, stay: Tensor, columns: _Columns
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The rows [size, D] and stays [size, 3] after one wave, and what is to be told of its events."""
        at = columns.observed_at[wave.positions]
        before, was = row, stay
        if len(wave.admissions):
            before, was = self._admit(wave, row, stay, columns.statics)
        latest, events, admitted = was.unbind(dim=1)
        seen = events > 0
        ahead = at - latest
        hours = ahead.clamp(min=0).mul_(seen).double().div_(MS_PER_HOUR).float()
        after, risk = self._model.step(before, columns.values[wave.positions], hours)
        finite = torch.isfinite(after.sum(dim=1).add_(risk))
        late = (ahead < 0).logical_and_(seen)
        count = events + 1
        now = torch.stack([torch.where(late, latest, at), count, admitted], dim=1)
        after, now = self._keep_sound(finite, after, row), self._keep_sound(finite, now, stay)
        outcome = (risk, finite, count, late, *self._model.vitals(after))
        if len(wave.discharges):
            gone = self._put(wave.discharges)
            after.index_copy_(0, gone, self._fresh.expand(len(wave.discharges), -1))
            now.index_fill_(0, gone, 0)
        return after, now, outcome

    def _keep_sound(self, finite: Tensor, after: Tensor, before: Tensor) -> Tensor:
        """`after` where `finite`, else `before`. Asking a CPU whether that is everywhere costs nothing;
        asking a GPU would wait for it."""
        if self._device.type == "cpu" and bool(finite.all()):
            return after
        return torch.where(finite[:, None], after, before)

    def _admit(self, wave: _Wave, row: Tensor, stay: Tensor, statics: Tensor) -> tuple[Tensor, Tensor]:
        """The rows and stays with this wave's admissions applied. One of a patient who is admitted
        already begins a new stay: nothing of the last one is kept."""
        index = self._put(wave.admissions)
        old, was = row[index], stay[index]
        again = was[:, Stay.ADMITTED, None] == 1
        fresh = torch.where(again, self._fresh, old)
        was = torch.where(again, 0, was)
        was[:, Stay.ADMITTED] = 1
        admitted = self._model.admit(fresh, statics[wave.positions][index])
        return row.index_copy(0, index, admitted), stay.index_copy(0, index, was)

    def _release(self, events: Events, packing: Packing) -> None:
        """Free the slots whose last event is a discharge."""
        if not (events.kinds == Kind.DISCHARGE).any():
            return
        last = np.empty(len(packing.groups), np.int64)
        start = 0
        for size in packing.sizes.tolist():
            last[:size] = packing.order[start : start + size]
            start += size
        self._store.release(packing.groups[events.kinds[last] == Kind.DISCHARGE])


def _waves(packing: Packing, kinds: NDArray[np.int8]) -> Iterator[_Wave]:
    packed = kinds[packing.order]
    start = 0
    for size, following in pairwise([*(packing.sizes.tolist() or [0]), 0]):
        kind = packed[start : start + size]
        admissions, discharges = (np.flatnonzero(kind == of) for of in (Kind.ADMISSION, Kind.DISCHARGE))
        yield _Wave(start, size, following, admissions, discharges)
        start += size


def _unpack(packed: Tensor, order: NDArray[np.int64]) -> NDArray[Any]:
    """Results in packed order to the order of the events, on the host."""
    values: NDArray[Any] = packed.cpu().numpy()
    out = np.empty_like(values)
    out[order] = values
    return out
