"""What the cell sees at an event: only the past and the event itself.

For each of V variables its last value (standardised; the training mean where never measured), whether it
was measured now, and the time since; then the patient's statics, the time since admission and since the
previous event. Two forms, equal within rounding: `Features.sequence` for whole stays (training) and
`Features.scan` for waves of one event a patient (stream), which keeps its memory in the flat state row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.variables import NAMES, STATICS

SKEWED = frozenset(
    {"Urine", "Glucose", "BUN", "Creatinine", "Bilirubin", "Lactate", "ALP", "ALT", "AST"}
    | {"TroponinI", "TroponinT", "Platelets", "WBC"}
)
"""Variables standardised on the log1p scale: their distribution has a long right tail."""

LIMIT = 6.0
"""Standardised values are clipped to +-LIMIT before the cell sees them."""

_VARIABLES = len(NAMES)
_ENCODED_STATICS = 12
INPUT_SIZES = (_VARIABLES, _VARIABLES, _VARIABLES, _ENCODED_STATICS, 1, 1)
"""Columns of the cell's input: carried, seen, age (log1p h), statics, since admission, since previous event
(both log1p h)."""
INPUT_SIZE = sum(INPUT_SIZES)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation over the training events that measured the variable (log1p scale where
    `SKEWED`), and over the training patients of age, height and weight."""

    mean: dict[str, float]
    std: dict[str, float]

    @classmethod
    def fit(cls, values: NDArray[np.float32], statics: NDArray[np.float32]) -> Normalisation:
        """values: [E, V] and statics: [P, 5], clinical units, NaN where not measured."""
        columns = {name: _scaled(name, values[:, i]) for i, name in enumerate(NAMES)}
        columns |= {f"static.{name}": statics[:, STATICS.index(name)] for name in _NUMERIC_STATICS}
        mean: dict[str, float] = {}
        std: dict[str, float] = {}
        for name, column in columns.items():
            known = column[np.isfinite(column)].astype(np.float64)
            mean[name] = round(float(known.mean()), 6) if len(known) else 0.0
            spread = round(float(known.std()), 6) if len(known) else 0.0
            std[name] = spread if spread > 0 else 1.0
        return cls(mean, std)


class Memory(NamedTuple):
    """The features' part of the state row, as views of it. All float32, always finite.

    carried: last values in clinical units [B, V]. measured_at: hours from admission to that measurement, 0
    where never [B, V]. counts: measurements so far [B, V]. statics: encoded [B, 12]. hours: from admission
    to the latest event [B, 1]. Times are set, never added up: sums of float32 drift.
    """

    carried: Tensor
    measured_at: Tensor
    counts: Tensor
    statics: Tensor
    hours: Tensor


MEMORY_SIZES = (_VARIABLES, _VARIABLES, _VARIABLES, _ENCODED_STATICS, 1)
MEMORY_SIZE = sum(MEMORY_SIZES)


class Features(nn.Module):
    """Holds the normalisation as constants; has no parameters."""

    unmeasured: Tensor
    linear: Tensor
    logarithmic: Tensor
    shift: Tensor
    static_mean: Tensor
    static_std: Tensor
    numeric_columns: Tensor

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        mean = torch.tensor([normalisation.mean[name] for name in NAMES], dtype=torch.float64)
        std = torch.tensor([normalisation.std[name] for name in NAMES], dtype=torch.float64)
        skewed = torch.tensor([name in SKEWED for name in NAMES])
        constants = {
            "unmeasured": torch.where(skewed, mean.expm1(), mean),
            "linear": torch.where(skewed, 0.0, 1 / std),
            "logarithmic": torch.where(skewed, 1 / std, 0.0),
            "shift": -mean / std,
            "static_mean": torch.tensor([normalisation.mean[f"static.{name}"] for name in _NUMERIC_STATICS]),
            "static_std": torch.tensor([normalisation.std[f"static.{name}"] for name in _NUMERIC_STATICS]),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant.float(), persistent=False)
        self.register_buffer("numeric_columns", torch.tensor(_NUMERIC_COLUMNS), persistent=False)

    def initial(self) -> Tensor:
        """Memory of a patient of whom nothing is known: [MEMORY_SIZE]."""
        memory = torch.zeros(MEMORY_SIZE, device=self.shift.device)
        parts = split_memory(memory[None])
        parts.carried[:] = self.unmeasured
        parts.statics[:] = self.encode(torch.full((1, len(STATICS)), torch.nan, device=memory.device))
        return memory

    def encode(self, statics: Tensor) -> Tensor:
        """Raw statics [B, 5] (NaN unknown) to [B, 12]: age, height, weight standardised (0 where unknown)
        and their missing flags, female, male, one column for each unit type."""
        numeric = statics.index_select(1, self.numeric_columns)
        numeric = (numeric - self.static_mean) / self.static_std
        unknown = torch.isnan(numeric)
        numeric = torch.where(unknown, 0.0, numeric).clamp(-LIMIT, LIMIT)
        sex = statics[:, _SEX, None] == torch.arange(2, device=statics.device)
        unit = statics[:, _UNIT_TYPE, None] == torch.arange(1, 5, device=statics.device)
        return torch.cat((numeric, unknown.float(), sex.float(), unit.float()), dim=1)

    def unknown(self, statics: Tensor) -> Tensor:
        """Which columns of `encode` say nothing: bool [B, 12] of raw statics [B, 5]."""
        unknown = torch.isnan(statics)
        numeric = unknown.index_select(1, self.numeric_columns)
        sex, unit = unknown[:, _SEX, None].expand(-1, 2), unknown[:, _UNIT_TYPE, None].expand(-1, 4)
        return torch.cat((numeric, numeric, sex, unit), dim=1)

    def decode(self, encoded: Tensor) -> Tensor:
        """What `encode` was given: [B, 12] to raw statics [B, 5], NaN where unknown. Age, height and weight
        within rounding, and no further than `LIMIT` deviations from the mean, at which they are clipped."""
        numeric, unknown, sex, unit = encoded.split_with_sizes((3, 3, 2, 4), dim=1)
        statics = encoded.new_full((len(encoded), len(STATICS)), torch.nan)
        known = numeric * self.static_std + self.static_mean
        statics[:, _NUMERIC_COLUMNS] = known.masked_fill(unknown > 0, torch.nan)
        for column, flags, first in ((_SEX, sex, 0), (_UNIT_TYPE, unit, 1)):
            code = (flags.argmax(dim=1) + first).to(encoded.dtype)
            statics[:, column] = code.masked_fill(flags.sum(dim=1) == 0, torch.nan)
        return statics

    def scan(
        self,
        old: Memory,
        new: Memory,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None = None,
    ) -> Tensor:
        """Write the memory after each of N events to `new`; the cell's inputs [N, INPUT_SIZE].

        Events stand in waves, and values, elapsed, hours and at mean the same, as in
        `model.risk_model.RiskModel.scan`. old: memory of the G patients before them.
        """
        measured = values == values
        seen = measured.to(values.dtype)
        new.hours.copy_(hours[:, None])
        before = (old.carried, old.measured_at, old.counts)
        after = (new.carried, new.measured_at, new.counts)
        times = new.hours if at is None else at[:, None]
        waves = (part.split_with_sizes(sizes) for part in (values, measured, seen, times, *after))
        for value, known, seen_now, now, carried, measured_at, counts in zip(*waves, strict=True):
            last, last_measured_at, last_counts = (part[: len(value)] for part in before)
            if at is not None:
                known &= (now >= last_measured_at) | (last_counts == 0)
                seen_now.copy_(known)
            torch.where(known, value, last, out=carried)
            torch.where(known, now, last_measured_at, out=measured_at)
            torch.add(last_counts, seen_now, out=counts)
            before = (carried, measured_at, counts)
        new.statics.copy_(old.statics if len(sizes) == 1 else _repeated(old.statics, sizes))
        return self._inputs(new, seen, elapsed[:, None])

    def _inputs(self, memory: Memory, seen: Tensor, since: Tensor) -> Tensor:
        inputs = seen.new_empty(len(seen), INPUT_SIZE)
        carried, now, age, statics, admission, previous = inputs.split_with_sizes(INPUT_SIZES, dim=1)
        self._standardise(memory.carried, carried)
        now.copy_(seen)
        torch.sub(memory.hours, memory.measured_at, out=age).log1p_()
        statics.copy_(memory.statics)
        torch.log1p(memory.hours, out=admission)
        torch.log1p(since, out=previous)
        return inputs

    def sequence(self, values: Tensor, statics: Tensor, elapsed: Tensor) -> Tensor:
        """The cell's inputs [B, T, INPUT_SIZE] at every event of whole stays.

        values: [B, T, V], statics: [B, 5], elapsed: [B, T], as in `RiskModel.step`. Row t sees events 0..t
        only.
        """
        measured = torch.isfinite(values)
        hours = elapsed.double().cumsum(dim=1).float()[:, :, None]
        steps = torch.arange(values.shape[1], device=values.device)[None, :, None]
        last = torch.where(measured, steps, -1).cummax(dim=1).values
        ever = last >= 0
        last = last.clamp(min=0)
        carried = torch.where(ever, values.gather(1, last), self.unmeasured)
        measured_at = torch.where(ever, hours.expand(values.shape).gather(1, last), 0.0)
        standardised = self.standardised(carried)
        encoded = self.encode(statics)[:, None, :].expand(-1, values.shape[1], -1)
        age = hours - measured_at
        clocks = torch.cat((hours, elapsed[:, :, None]), dim=2)
        return torch.cat((standardised, measured.float(), age.log1p(), encoded, clocks.log1p()), dim=2)

    def standardised(self, carried: Tensor) -> Tensor:
        """Clinical values [B, V] as the cell sees them."""
        out = torch.empty_like(carried)
        self._standardise(carried, out)
        return out

    def _standardise(self, carried: Tensor, out: Tensor) -> None:
        torch.addcmul(self.shift, carried, self.linear, out=out)
        out.addcmul_(torch.log1p(carried), self.logarithmic).clamp_(-LIMIT, LIMIT)


def _repeated(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The first rows of `rows`, as many as each of `sizes` says, one wave after the other."""
    return torch.cat([rows[:size] for size in sizes])


def split_memory(memory: Tensor) -> Memory:
    """Views of the parts of [B, MEMORY_SIZE]."""
    return Memory(*memory.split_with_sizes(MEMORY_SIZES, dim=1))


_NUMERIC_STATICS = ("age", "height", "weight")
_NUMERIC_COLUMNS = [STATICS.index(name) for name in _NUMERIC_STATICS]
_SEX = STATICS.index("sex")
_UNIT_TYPE = STATICS.index("unit_type")


def _scaled(name: str, column: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log1p(column) if name in SKEWED else column
