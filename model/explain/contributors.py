"""The variables that moved a score most, with what a clinician would ask of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.explain.attribution import attribute
from model.features import LIMIT
from model.risk_model import RiskModel

NAMED = 3
"""Variables that an explanation names."""

SEVERAL = 3
"""Measurements from which on it is worth saying that the last is the highest or the lowest."""


class Contributors(NamedTuple):
    """Columns of `stream.columns.scores.Contributions`, [N, NAMED] each, the largest effect first."""

    variables: NDArray[np.int64]
    effects: NDArray[np.float32]
    values: NDArray[np.float32]
    previous: NDArray[np.float32]
    gaps: NDArray[np.float32]
    extremes: NDArray[np.int8]
    ages: NDArray[np.float32]


def contributors(
    model: RiskModel,
    before: Tensor,
    values: Tensor,
    elapsed: Tensor,
    hours: Tensor,
    at: Tensor | None = None,
) -> Contributors:
    """The contributors to the risk after one event of each of N patients; the arguments are those of
    `model.explain.attribution.attribute`. Waits for the device."""
    effects = attribute(model, before, values, elapsed, hours, at).effects
    variables = effects.abs().topk(NAMED, dim=1).indices
    with torch.inference_mode():
        after = torch.empty_like(before)
        model.observe(before, after, values, elapsed, hours, [len(before)], at)
        old, new = model.memory(before), model.memory(after)
        measured = new.counts > old.counts
        previous = torch.where(measured, old.carried, torch.nan).masked_fill(old.counts == 0, torch.nan)
        columns = (
            effects,
            new.carried.masked_fill(new.counts == 0, torch.nan),
            previous,
            new.measured_at - old.measured_at,
            _extremes(model, after, new.counts),
            (new.hours - new.measured_at).clamp(min=0),
        )
        chosen = [column.gather(1, variables).cpu().numpy() for column in columns]
    effect, value, before_it, gap, extreme, age = chosen
    return Contributors(variables.cpu().numpy(), effect, value, before_it, gap, extreme.astype(np.int8), age)


def _extremes(model: RiskModel, after: Tensor, counts: Tensor) -> Tensor:
    """[N, 37]: 1 where the last value is the highest of the stay, -1 where it is the lowest, and 0 otherwise.
    It is also 0 beyond `LIMIT`, where the model does not distinguish values."""
    running = model.running(after)
    if running is None:
        return torch.zeros_like(counts)
    last = model.features.standardised(model.memory(after).carried)
    varied = (counts >= SEVERAL) & (running.maximum > running.minimum) & (last.abs() < LIMIT)
    highest, lowest = last >= running.maximum, last <= running.minimum
    return varied * (highest.to(counts) - lowest.to(counts))
