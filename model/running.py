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
STATISTICS_SIZE = 10 * _VARIABLES
"""Columns of what `columns` and `sequence` return: minimum, maximum, mean, change since the first value,
standard deviation, and the log1p of the number of measurements; then what of the minimum and of the last
value lies below -`USUAL`, and what of the maximum and of the last value lies above `USUAL`. All 0 where never
measured.

Risk often rises on both sides of what is usual: with the last four a linear layer can follow it (hinge
functions, as in Friedman, Multivariate Adaptive Regression Splines, 1991)."""

USUAL = 1.0
"""Standard deviations from the mean."""


class Running(NamedTuple):
    """The statistics' part of the state row, as views of it: [B, V] each, float32, always finite; all 0
    within rounding where never measured. variance: of all values, as they are."""

    minimum: Tensor
    maximum: Tensor
    first: Tensor
    mean: Tensor
    variance: Tensor


def split_running(running: Tensor) -> Running:
    """Views of the parts of [B, RUNNING_SIZE]."""
    return Running(*running.chunk(len(Running._fields), dim=1))


def initial() -> Tensor:
    """The statistics of a patient before the first measurement: [RUNNING_SIZE]."""
    return torch.zeros(RUNNING_SIZE)


def scan(old: Running, new: Running, inputs: Tensor, counts: Tensor, sizes: Sequence[int]) -> None:
    """Write the statistics after each of N events to `new`.

    Events stand in waves, as in `model.risk_model.RiskModel.scan`. old: of the G patients before them.
    inputs: [N, INPUT_SIZE], of `Features.scan`: what was not seen now is carried, and changes no extreme.
    counts: [N, V], measurements up to and with the event.
    """
    values, seen = inputs.split_with_sizes(INPUT_SIZES, dim=1)[:2]
    # share: the event's weight in the mean, 1 / count if seen. begins: 1 up to the first measurement, then 0.
    share, begins = seen / counts.clamp(min=1), (2 - counts).clamp_(0, 1)
    waves = (part.split_with_sizes(sizes) for part in (values, share, begins, *new))
    before = old
    for value, weight, begun, *written in zip(*waves, strict=True):
        last, now = Running(*(part[: len(value)] for part in before)), Running(*written)
        for extreme, known, written_extreme in (
            (torch.minimum, last.minimum, now.minimum),
            (torch.maximum, last.maximum, now.maximum),
        ):
            extreme(torch.lerp(known, value, begun), value, out=written_extreme)
        torch.lerp(last.first, value, begun, out=now.first)
        torch.lerp(last.mean, value, weight, out=now.mean)
        torch.lerp(last.variance, (value - last.mean).mul_(value - now.mean), weight, out=now.variance)
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
    never = counts == 0
    running = Running(
        torch.where(never, values, values.masked_fill(missing, LIMIT).cummin(dim=1).values),
        torch.where(never, values, values.masked_fill(missing, -LIMIT).cummax(dim=1).values),
        torch.where(never, values, (values * begins).cumsum(dim=1)),
        mean.float(),
        variance.clamp(min=0).float(),
    )
    return columns(running, inputs, counts)


def columns(running: Running, inputs: Tensor, counts: Tensor) -> Tensor:
    """What the model sees of the statistics after events: [..., STATISTICS_SIZE]. inputs, counts: of the same
    events, as for `scan`."""
    values = inputs[..., :_VARIABLES]
    seen = values.new_empty(*values.shape[:-1], STATISTICS_SIZE)
    minimum, maximum, mean, change, deviation, logarithm, *beyond = seen.chunk(10, dim=-1)
    minimum.copy_(running.minimum)
    maximum.copy_(running.maximum)
    mean.copy_(running.mean)
    torch.sub(values, running.first, out=change)
    torch.sqrt(running.variance, out=deviation)
    torch.log1p(counts, out=logarithm)
    lowest_below, below, highest_above, above = beyond
    torch.clamp(minimum, max=-USUAL, out=lowest_below)
    torch.clamp(values, max=-USUAL, out=below)
    torch.clamp(maximum, min=USUAL, out=highest_above)
    torch.clamp(values, min=USUAL, out=above)
    seen[..., -4 * _VARIABLES : -2 * _VARIABLES].add_(USUAL)
    seen[..., -2 * _VARIABLES :].sub_(USUAL)
    return seen
