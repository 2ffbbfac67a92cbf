"""Which variables moved a score: integrated gradients of one step, from the stored state.

Sundararajan, Taly and Yan. Axiomatic attribution for deep networks. ICML 2017. The path leads from an event
at which nothing was ever measured (the statics, the times and the hidden state as they are) to the event as
it is, in the inputs of the step: last values, what was seen now, ages, running statistics. Completeness: the
effects of all variables add up to the difference of the two logits. What the hidden state keeps of earlier
events is part of neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.features import INPUT_SIZES
from model.risk_model import RiskModel

POINTS = 16
"""Points of the Gauss-Legendre quadrature along the path."""

_VARIABLES = INPUT_SIZES[0]
_KNOWN = 3 * _VARIABLES


@dataclass(frozen=True, slots=True)
class Attribution:
    """effects: [N, 37], change of the calibrated log-odds by each variable. difference: [N], what they should
    add up to: log-odds of the event less those of the one without any measurement."""

    effects: Tensor
    difference: Tensor


def attribute(
    model: RiskModel,
    before: Tensor,
    values: Tensor,
    elapsed: Tensor,
    hours: Tensor,
    at: Tensor | None = None,
) -> Attribution:
    """The attribution of one event of each of N patients. before: their rows before it [N, state_size].
    values: [N, 37], elapsed, hours, at: [N], as for `RiskModel.scan`. Works within `torch.inference_mode`
    too."""
    with torch.inference_mode(False), torch.enable_grad():
        before, values, elapsed, hours = (part.clone() for part in (before, values, elapsed, hours))
        after = torch.empty_like(before)
        at = None if at is None else at.clone()
        inputs = model.observe(before, after, values, elapsed, hours, [len(before)], at)
        statistics = model.statistics(after, inputs)
        end = inputs if statistics is None else torch.cat((inputs, statistics), dim=1)
        start = _nothing_measured(end, hours)
        cell = model.cell_state(before)
        gradient = torch.zeros_like(end)
        for place, weight in _quadrature():
            point = torch.lerp(start, end, place).requires_grad_()
            gradient += weight * torch.autograd.grad(_log_odds(model, point, cell, hours).sum(), point)[0]
        moved = (gradient * (end - start)).detach()
        difference = (_log_odds(model, end, cell, hours) - _log_odds(model, start, cell, hours)).detach()
    return Attribution(_by_variable(moved), difference)


def _quadrature() -> list[tuple[float, float]]:
    """Places between 0 and 1, and their weights."""
    places, weights = np.polynomial.legendre.leggauss(POINTS)
    return list(zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _nothing_measured(end: Tensor, hours: Tensor) -> Tensor:
    """The step's inputs, had no variable ever been measured: unknown since admission."""
    start = end.clone()
    start[:, :_KNOWN] = 0
    start[:, 2 * _VARIABLES : _KNOWN] = hours[:, None].log1p()
    start[:, sum(INPUT_SIZES) :] = 0
    return start


def _log_odds(model: RiskModel, point: Tensor, cell: Tensor, hours: Tensor) -> Tensor:
    width = sum(INPUT_SIZES)
    inputs, statistics = point[:, :width], point[:, width:] if model.wide else None
    hidden = model.cell.step(inputs, cell)[:, : model.shape.hidden_size]
    return model.log_odds(model.logits(hidden, inputs, statistics), hours)


def _by_variable(moved: Tensor) -> Tensor:
    """Columns of the step's inputs [N, ...] summed to their variables [N, 37]."""
    known, statistics = moved[:, :_KNOWN], moved[:, sum(INPUT_SIZES) :]
    return torch.cat((known, statistics), dim=1).view(len(moved), -1, _VARIABLES).sum(dim=1)
