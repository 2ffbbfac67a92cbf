"""Running statistics of each variable since admission, kept in O(1) an event: extremes, mean, spread, change.

Of the standardised values, as `model.features` gives them to the cell. Two forms, equal within rounding, as
there: `sequence` for whole stays, `scan` for waves of one event a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.features import INPUT_SIZES, LIMIT

_VARIABLES = INPUT_SIZES[0]
RUNNING_SIZE = 5 * _VARIABLES
"""Floats of the state row."""
STATISTICS_SIZE = 6 * _VARIABLES
"""Columns of what `scan` and `sequence` return: minimum, maximum, mean, change since the first value,
standard deviation, and the log1p of the number of measurements; all 0 where never measured."""


class Running(NamedTuple):
    """The statistics' part of the state row, as views of it: [B, V] each, float32, always finite. Where never
    measured the minimum is LIMIT, the maximum -LIMIT, the others 0. variance: of all values, as they are."""

    minimum: Tensor
    maximum: Tensor
    mean: Tensor
    variance: Tensor
    first: Tensor


def split_running(running: Tensor) -> Running:
    """Views of the parts of [B, RUNNING_SIZE]."""
    return Running(*running.chunk(len(Running._fields), dim=1))


def initial() -> Tensor:
    """Of a patient of whom nothing was measured: [RUNNING_SIZE]."""
    return torch.cat([torch.full((_VARIABLES,), value) for value in (LIMIT, -LIMIT, 0.0, 0.0, 0.0)])


def scan(old: Running, new: Running, inputs: Tensor, counts: Tensor, sizes: Sequence[int]) -> Tensor:
    """Write the statistics after each of N events to `new`; what the model sees of them
    [N, STATISTICS_SIZE].

    Events stand in waves, as in `model.risk_model.RiskModel.scan`. old: of the G patients before them.
    inputs: [N, INPUT_SIZE], of `Features.scan`. counts: [N, V], measurements up to and with the event.
    """
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=1)[:2]
    missing = seen == 0
    low, high = values.masked_fill(missing, LIMIT), values.masked_fill(missing, -LIMIT)
    share, begins = seen / counts.clamp(min=1), (counts == 1) & (seen > 0)
    waves = (part.split_with_sizes(sizes) for part in (values, low, high, share, begins, *new))
    before = old
    for value, lowest, highest, weight, begun, *written in zip(*waves, strict=True):
        last, now = Running(*(part[: len(value)] for part in before)), Running(*written)
        torch.minimum(last.minimum, lowest, out=now.minimum)
        torch.maximum(last.maximum, highest, out=now.maximum)
        torch.lerp(last.mean, value, weight, out=now.mean)
        torch.lerp(last.variance, (value - last.mean) * (value - now.mean), weight, out=now.variance)
        torch.where(begun, value, last.first, out=now.first)
        before = now
    return _columns(new, values, counts)


def sequence(inputs: Tensor) -> Tensor:
    """The same at every event of whole stays: [B, T, STATISTICS_SIZE] from [B, T, INPUT_SIZE]."""
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=2)[:2]
    missing = seen == 0
    counts = seen.cumsum(dim=1)
    known = (values * seen).double()
    mean = known.cumsum(dim=1) / counts.clamp(min=1)
    variance = known.square().cumsum(dim=1) / counts.clamp(min=1) - mean.square()
    begins = ((counts == 1) & ~missing).to(values.dtype)
    found = Running(
        values.masked_fill(missing, LIMIT).cummin(dim=1).values,
        values.masked_fill(missing, -LIMIT).cummax(dim=1).values,
        mean.float(),
        variance.clamp(min=0).float(),
        (values * begins).cumsum(dim=1),
    )
    return _columns(found, values, counts)


def _columns(found: Running, values: Tensor, counts: Tensor) -> Tensor:
    never = counts == 0
    known = (found.minimum, found.maximum, found.mean, values - found.first, found.variance.sqrt())
    return torch.cat([*(column.masked_fill(never, 0) for column in known), counts.log1p()], dim=-1)
