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
"""Columns of what `columns` and `sequence` return: minimum, maximum, mean, change since the first value,
standard deviation, and the log1p of the number of measurements; all 0 where never measured."""


class Running(NamedTuple):
    """The statistics' part of the state row, as views of it: [B, V] each, float32, always finite. Where never
    measured the minimum is LIMIT, the maximum -LIMIT, the others 0 within rounding. variance: of all values,
    as they are."""

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


def scan(old: Running, new: Running, inputs: Tensor, counts: Tensor, sizes: Sequence[int]) -> None:
    """Write the statistics after each of N events to `new`.

    Events stand in waves, as in `model.risk_model.RiskModel.scan`. old: of the G patients before them.
    inputs: [N, INPUT_SIZE], of `Features.scan`. counts: [N, V], measurements up to and with the event.
    """
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=1)[:2]
    missing = seen == 0
    low, high = values.masked_fill(missing, LIMIT), values.masked_fill(missing, -LIMIT)
    share, begins = seen / counts.clamp(min=1), counts <= 1
    waves = (part.split_with_sizes(sizes) for part in (values, low, high, share, begins, *new))
    before = old
    for value, lowest, highest, weight, begun, *written in zip(*waves, strict=True):
        last, now = Running(*(part[: len(value)] for part in before)), Running(*written)
        torch.minimum(last.minimum, lowest, out=now.minimum)
        torch.maximum(last.maximum, highest, out=now.maximum)
        torch.lerp(last.mean, value, weight, out=now.mean)
        torch.lerp(last.variance, (value - last.mean).mul_(value - now.mean), weight, out=now.variance)
        torch.where(begun, value, last.first, out=now.first)
        before = now


def sequence(inputs: Tensor) -> Tensor:
    """The same at every event of whole stays: [B, T, STATISTICS_SIZE] from [B, T, INPUT_SIZE]."""
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=2)[:2]
    missing = seen == 0
    counts = seen.cumsum(dim=1)
    known = (values * seen).double()
    mean = known.cumsum(dim=1) / counts.clamp(min=1)
    variance = known.square().cumsum(dim=1) / counts.clamp(min=1) - mean.square()
    begins = (seen > 0) & (counts == 1)
    found = Running(
        values.masked_fill(missing, LIMIT).cummin(dim=1).values,
        values.masked_fill(missing, -LIMIT).cummax(dim=1).values,
        mean.float(),
        variance.clamp(min=0).float(),
        torch.where(counts == 0, values, (values * begins).cumsum(dim=1)),
    )
    return columns(found, inputs, counts)


def columns(found: Running, inputs: Tensor, counts: Tensor) -> Tensor:
    """What the model sees of the statistics after events: [..., STATISTICS_SIZE]. inputs, counts: of the same
    events, as for `scan`."""
    values = inputs[..., :_VARIABLES]
    ever = (counts > 0).to(values.dtype)
    seen = values.new_empty(*values.shape[:-1], STATISTICS_SIZE)
    minimum, maximum, mean, change, deviation, logarithm = seen.chunk(6, dim=-1)
    torch.mul(found.minimum, ever, out=minimum)
    torch.mul(found.maximum, ever, out=maximum)
    mean.copy_(found.mean)
    torch.sub(values, found.first, out=change)
    torch.sqrt(found.variance, out=deviation)
    torch.log1p(counts, out=logarithm)
    return seen
