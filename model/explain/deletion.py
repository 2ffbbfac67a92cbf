"""Whether an explanation names what matters: scores with variables taken away.

The deletion test (Samek et al., Evaluating the visualization of what a deep neural network has learned,
2017): without the named variables the score should move more than without as many others.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.risk_model import RiskModel


def without(
    model: RiskModel, before: Tensor, values: Tensor, elapsed: Tensor, hours: Tensor, removed: Tensor
) -> Tensor:
    """Calibrated log-odds [N] of the events, had the variables `removed` (bool [N, 37]) never been measured,
    as far as the row remembers them; the hidden state stays. The rest as for `RiskModel.step`."""
    with torch.inference_mode():
        forgotten = model.forget(before, removed)
        risk = model.step(forgotten, values.masked_fill(removed, torch.nan), elapsed, hours)[1]
        return torch.logit(risk.double(), eps=1e-12)


def top(effects: Tensor, count: int) -> Tensor:
    """The variables with the `count` largest effects either way: bool [N, 37]."""
    chosen = effects.abs().topk(count, dim=1).indices
    return torch.zeros_like(effects, dtype=torch.bool).scatter_(1, chosen, True)


def random_others(known: NDArray[np.bool_], named: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """As many random variables as `named` [N, 37] of each event, among those that are known (were measured)
    and not named; fewer if there are not so many. bool [N, 37]."""
    order = rng.random(known.shape) + 2.0 * ~(known & ~named)
    ranks = order.argsort(axis=1).argsort(axis=1)
    return torch.from_numpy((ranks < named.sum(axis=1, keepdims=True)) & known & ~named)
