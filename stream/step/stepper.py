"""Stepper: the only room that calls the model. State in, state out, one wave at a time.

A micro-batch is gathered once, stepped wave by wave on a dense block of rows in which wave k is a
prefix, and scattered once. Nothing waits for the device until the results are copied to the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """One event each of the first `size` patients; positions `start` to `start + size` of the packing."""

    start: int
    size: int
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
        rows, stays = self._store.gather(slots)
        columns = self._columns(events, packing.order)
        outcomes = [self._wave(wave, rows, stays, columns) for wave in _waves(packing, events.kinds)]
        self._store.scatter(slots, rows, stays)
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

    def _wave(self, wave: _Wave, rows: Tensor, stays: Tensor, columns: _Columns) -> tuple[Tensor, ...]:
        """Step one wave; `rows` and `stays` are changed in place."""
        row, stay = rows[: wave.size], stays[: wave.size]
        at = columns.observed_at[wave.positions]
        before, was = row, stay
        if len(wave.admissions):
            before, was = self._admit(wave, row, stay, columns.statics)
        seen = was[:, Stay.EVENTS] > 0
        elapsed = torch.where(seen, (at - was[:, Stay.OBSERVED_AT]).clamp_(min=0), 0)
        hours = elapsed.double().div_(MS_PER_HOUR).float()
        late = seen & (at < was[:, Stay.OBSERVED_AT])
        after, risk = self._model.step(before, columns.values[wave.positions], hours)
        finite = torch.isfinite(after.sum(dim=1) + risk)
        latest = torch.where(seen, torch.maximum(at, was[:, Stay.OBSERVED_AT]), at)
        count = was[:, Stay.EVENTS] + 1
        now = torch.stack([latest, count, was[:, Stay.ADMITTED]], dim=1)
        row.copy_(torch.where(finite[:, None], after, row))
        stay.copy_(torch.where(finite[:, None], now, stay))
        vitals, ages = self._model.vitals(row)
        if len(wave.discharges):
            gone = self._put(wave.discharges)
            row.index_copy_(0, gone, self._fresh.expand(len(wave.discharges), -1))
            stay.index_fill_(0, gone, 0)
        return risk, finite, count, late, vitals, ages

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
    for size in packing.sizes.tolist() or [0]:
        kind = packed[start : start + size]
        yield _Wave(
            start, size, np.flatnonzero(kind == Kind.ADMISSION), np.flatnonzero(kind == Kind.DISCHARGE)
        )
        start += size


def _unpack(packed: Tensor, order: NDArray[np.int64]) -> NDArray[Any]:
    """Results in packed order to the order of the events, on the host."""
    values: NDArray[Any] = packed.cpu().numpy()
    out = np.empty_like(values)
    out[order] = values
    return out
