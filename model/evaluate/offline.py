"""Scores of recorded stays by the whole-sequence form of a model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model.datasets.padding import ordered_batches, pad, step_hours, step_starts
from model.datasets.stays import Stays
from model.risk_model import RiskModel


def step_logits(model: RiskModel, stays: Stays, batch_size: int = 128) -> NDArray[np.float32]:
    """Uncalibrated logits of every step (admissions and observations), flat in the order of
    `model.datasets.padding.step_starts`: [P + E]. The stays must be free of implausible values."""
    starts = step_starts(stays)
    flat = np.empty(int(starts[-1]), dtype=np.float32)
    model.eval()
    with torch.inference_mode():
        for patients in ordered_batches(stays, batch_size):
            batch = pad(stays, patients)
            logits = model(batch.values, batch.statics, batch.elapsed).numpy()
            for row, patient in enumerate(patients):
                steps = slice(int(starts[patient]), int(starts[patient + 1]))
                flat[steps] = logits[row, : steps.stop - steps.start]
    return flat


def step_risks(model: RiskModel, stays: Stays) -> NDArray[np.float32]:
    """Calibrated risks of every step, as `step_logits`."""
    return calibrated(model, step_logits(model, stays), stays)


def calibrated(model: RiskModel, logits: NDArray[np.float32], stays: Stays) -> NDArray[np.float32]:
    """Risks of the steps of `stays` whose logits these are: [P + E]."""
    hours = torch.from_numpy(step_hours(stays).astype(np.float32))
    with torch.inference_mode():
        return np.asarray(model.risk(torch.from_numpy(logits), hours).numpy())
