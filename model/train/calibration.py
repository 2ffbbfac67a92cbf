"""Platt scaling: the risk that a logit stands for, fitted on patients that the model did not learn from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model.datasets.padding import step_hours, step_owners, step_starts
from model.risk_model import CALIBRATED_HOURS, Calibration, RiskModel
from model.train.examples import RAMP_HOURS, Examples


def calibrate(model: RiskModel, held_out: Examples, logits: NDArray[np.float32], early_weight: float) -> None:
    """Set the model's calibration by the steps of `held_out`, weighted as in training:
    every patient the same, later steps more. logits: [P + E], uncalibrated, of each step."""
    died = held_out.died[step_owners(held_out.stays)]
    hours, weights = step_hours(held_out.stays), step_weights(held_out, early_weight)
    model.calibrate(fit_platt(logits, hours, died, weights))


def fit_platt(
    logits: NDArray[np.float32],
    hours: NDArray[np.float64],
    died: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> Calibration:
    """What makes the outcomes [N] most likely, given the logits at these hours since admission."""
    late = (hours / CALIBRATED_HOURS).clip(max=1)
    columns = np.stack((logits, logits * late, late), axis=1)
    regression = LogisticRegression(C=np.inf, max_iter=1000)
    regression.fit(columns, died, sample_weight=weights * len(weights))
    slope, steeper, higher = regression.coef_[0].tolist()
    offset = float(regression.intercept_[0])
    return Calibration(slope, offset, slope + steeper, offset + higher)


def centre(
    model: RiskModel,
    learnt: Examples,
    seen: NDArray[np.float32],
    logits: NDArray[np.float32],
    early_weight: float,
) -> None:
    """Move the model's logits, all by the same, to the level of the models whose calibration it gets.

    That level differs by chance from fit to fit, and moves every risk. It is taken from the patients learnt
    from, weighted as in training. seen: [P + E], mean logits of the other models that learnt from the
    patient; logits: the model's own.
    """
    apart = np.average(seen - logits, weights=step_weights(learnt, early_weight))
    with torch.no_grad():
        model.head.bias.add_(float(apart))


def step_weights(examples: Examples, early_weight: float) -> NDArray[np.float64]:
    """[P + E], summing to 1."""
    starts = step_starts(examples.stays)
    ramp = early_weight + (1 - early_weight) * step_hours(examples.stays) / RAMP_HOURS
    totals = np.add.reduceat(ramp, starts[:-1])
    return np.asarray(ramp / np.repeat(totals, np.diff(starts)) / len(examples.stays))
