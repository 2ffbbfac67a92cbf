"""Running statistics of each variable since admission: minimum, maximum and mean, kept in O(1) an event.

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
RUNNING_SIZES = (_VARIABLES, _VARIABLES, _VARIABLES)
RUNNING_SIZE = sum(RUNNING_SIZES)
"""Floats of the state row."""
STATISTICS_SIZE = 4 * _VARIABLES
"""Columns of what `scan` and `sequence` return: minimum, maximum, mean (0 where never measured) and the log1p
of the number of measurements."""


class Running(NamedTuple):
    """The statistics' part of the state row, as views of it: [B, V] each, float32, always finite. Where never
    measured the minimum is LIMIT, the maximum -LIMIT, the mean 0."""

    minimum: Tensor
    maximum: Tensor
    mean: Tensor


def split_running(running: Tensor) -> Running:
    """Views of the parts of [B, RUNNING_SIZE]."""
    return Running(*running.split_with_sizes(RUNNING_SIZES, dim=1))


def initial() -> Tensor:
    """Of a patient of whom nothing was measured: [RUNNING_SIZE]."""
    return torch.cat([torch.full((_VARIABLES,), value) for value in (LIMIT, -LIMIT, 0.0)])


def scan(old: Running, new: Running, inputs: Tensor, counts: Tensor, sizes: Sequence[int]) -> Tensor:
    """Write the statistics after each of N events to `new`; what the model sees of them
    [N, STATISTICS_SIZE].

    Events stand in waves, as in `model.risk_model.RiskModel.scan`. old: of the G patients before them.
    inputs: [N, INPUT_SIZE], of `Features.scan`. counts: [N, V], measurements up to and with the event.
    """
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=1)[:2]
    missing = seen == 0
    low, high = values.masked_fill(missing, LIMIT), values.masked_fill(missing, -LIMIT)
    share = seen / counts.clamp(min=1)
    before = tuple(old)
    for lowest, highest, value, weight, *after in zip(
        *(part.split_with_sizes(sizes) for part in (low, high, values, share, *new)), strict=True
    ):
        minimum, maximum, mean = (part[: len(value)] for part in before)
        torch.minimum(minimum, lowest, out=after[0])
        torch.maximum(maximum, highest, out=after[1])
        torch.lerp(mean, value, weight, out=after[2])
        before = tuple(after)
    return _columns(*new, counts)


def sequence(inputs: Tensor) -> Tensor:
    """The same at every event of whole stays: [B, T, STATISTICS_SIZE] from [B, T, INPUT_SIZE]."""
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=2)[:2]
    missing = seen == 0
    counts = seen.cumsum(dim=1)
    total = (values * seen).double().cumsum(dim=1)
    return _columns(
        values.masked_fill(missing, LIMIT).cummin(dim=1).values,
        values.masked_fill(missing, -LIMIT).cummax(dim=1).values,
        (total / counts.clamp(min=1)).float(),
        counts,
    )


def _columns(minimum: Tensor, maximum: Tensor, mean: Tensor, counts: Tensor) -> Tensor:
    never = counts == 0
    return torch.cat(
        (minimum.masked_fill(never, 0), maximum.masked_fill(never, 0), mean, counts.log1p()), dim=-1
    )
