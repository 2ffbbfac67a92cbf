"""Stays as padded tensors. A stay's steps are its admission (nothing measured), then its observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.datasets.stays import MINUTES_PER_HOUR, Stays
from model.variables import VARIABLES


@dataclass(frozen=True, slots=True)
class Batch:
    """values [B, T, 37], statics [B, 5], elapsed [B, T] as `RiskModel.forward` takes them.

    hours [B, T]: since admission. valid [B, T]: false in the padding.
    """

    values: Tensor
    statics: Tensor
    elapsed: Tensor
    hours: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.values.to(device),
            self.statics.to(device),
            self.elapsed.to(device),
            self.hours.to(device),
            self.valid.to(device),
        )


def step_starts(stays: Stays) -> NDArray[np.int64]:
    """[P + 1]: patient p's steps are `starts[p]:starts[p + 1]` of any flat column of steps."""
    return stays.starts + np.arange(len(stays) + 1)


def step_owners(stays: Stays) -> NDArray[np.int64]:
    """The patient's position of every step, flat: [P + E]."""
    return np.repeat(np.arange(len(stays)), np.diff(step_starts(stays)))


def step_places(stays: Stays) -> NDArray[np.int64]:
    """How many of its patient's steps came before each step, flat: [P + E]. 0 is the admission."""
    starts = step_starts(stays)
    return np.arange(starts[-1]) - starts[step_owners(stays)]


def step_hours(stays: Stays) -> NDArray[np.float64]:
    """Hours since admission of every step, flat: [P + E]."""
    return np.insert(stays.minutes / MINUTES_PER_HOUR, stays.starts[:-1], 0.0)


def pad(stays: Stays, patients: NDArray[np.int64]) -> Batch:
    """The steps of these patients, padded at the end to the longest."""
    lengths = np.diff(stays.starts)[patients] + 1
    longest = int(lengths.max())
    minutes = np.zeros((len(patients), longest), dtype=np.int64)
    values = np.full((len(patients), longest, len(VARIABLES)), np.nan, dtype=np.float32)
    for i, patient in enumerate(patients):
        rows = stays.rows(patient)
        values[i, 1 : lengths[i]] = stays.values[rows]
        minutes[i, 1 : lengths[i]] = stays.minutes[rows]
    valid = np.arange(longest) < lengths[:, None]
    elapsed = np.where(valid, np.diff(minutes, axis=1, prepend=0), 0) / MINUTES_PER_HOUR
    return Batch(
        torch.from_numpy(values),
        torch.from_numpy(stays.statics[patients]),
        torch.from_numpy(elapsed.astype(np.float32)),
        torch.from_numpy((minutes / MINUTES_PER_HOUR).astype(np.float32)),
        torch.from_numpy(valid),
    )


def shuffled_batches(stays: Stays, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every patient once, in batches of like length (little padding) and random order."""
    lengths = np.diff(stays.starts)
    order = rng.permutation(len(stays))
    pools = np.array_split(order, max(1, len(order) // (16 * size)))
    order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def ordered_batches(stays: Stays, size: int) -> list[NDArray[np.int64]]:
    """Every patient once, by length."""
    order = np.argsort(np.diff(stays.starts), kind="stable")
    return [order[i : i + size] for i in range(0, len(order), size)]
