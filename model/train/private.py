"""Differentially private gradients: no patient's stay moves the model by more than noise can hide.

DP-SGD (Abadi M et al. Deep Learning with Differential Privacy. CCS 2016, doi:10.1145/2976749.2978318). The
unit of privacy is a patient, whose whole stay is added to or removed from the training set. Every stay goes
through the model alone, so that what is clipped is its own gradient, whatever the model is made of.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from model.errors import RecipeError
from model.train.distributed import ProcessGroup
from model.train.examples import Examples
from model.train.recipe import Recipe

CLIP = 6.0
"""Norm to which a patient's gradient is clipped by default."""

MOST = 1e6
"""The largest epsilon and clip that are accepted: far beyond what protects anybody."""

StayLoss = Callable[[int], Tensor]
"""The loss of one patient's stay, by its position."""


RECIPE = Recipe(
    hidden_size=32,
    wide_size=32,
    variable_dropout=0.0,
    epochs=10,
    patience=10,
    batch_size=800,
    learning_rate=0.02,
    average_decay=0.9,
    folds=0,
)
"""Chosen for 4,000 patients and an epsilon of 8, by held-out fifths of set a. Few and large batches: the
noise on a sum is the same for any size, and grows with their number. Every epoch is taken, since all are paid
for."""


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """What a whole run spends: all of its `steps`, whether it takes them or stops before.

    epsilon, delta: the guarantee. clip: norm to which a patient's gradient is clipped. noise_multiplier: the
    noise's standard deviation, in units of `clip`. sample_rate: chance of a patient to be in a batch.
    """

    epsilon: float
    delta: float
    clip: float
    noise_multiplier: float
    sample_rate: float
    steps: int

    @property
    def batches(self) -> int:
        """Batches of an epoch, in which every patient is expected once."""
        return batches_an_epoch(self.sample_rate)

    def check(self, recipe: Recipe, examples: Examples) -> None:
        """Raises `RecipeError` if the plan would not be kept: with a teacher's targets or more steps."""
        if examples.targets is not None:
            raise RecipeError("private training cannot learn from a teacher")
        if recipe.epochs * self.batches > self.steps:
            raise RecipeError("the recipe has more epochs than privacy was planned for")

    def to_json(self) -> dict[str, JsonValue]:
        return {"unit": "patient", "mechanism": "DP-SGD, Poisson sampling, RDP accountant", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is asked for. delta: None for patients^-1.1. It is the chance that the promise of epsilon does not
    hold; to publish one patient taken at random has 1/patients, so that it must be well below."""

    epsilon: float
    delta: float | None = None
    clip: float = CLIP

    def plan(self, recipe: Recipe, patients: int) -> PrivacyPlan:
        """The least noise with which the recipe's epochs over so many patients keep the promise. Raises
        `RecipeError` if there is none, or if the recipe has a teacher."""
        if recipe.folds:
            raise RecipeError(
                "a teacher learns from every patient without noise: private training needs folds 0"
            )
        delta = patients**-1.1 if self.delta is None else self.delta
        if not (0 < self.epsilon <= MOST and 0 < delta < 1 / patients and 0 < self.clip <= MOST):
            raise RecipeError(
                f"private training needs epsilon and clip above 0 (at most {MOST:g}) and delta between 0 and "
                "1/patients"
            )
        rate = min(1.0, recipe.batch_size / patients)
        steps = recipe.epochs * batches_an_epoch(rate)
        noise = least_noise(self.epsilon, delta, rate, steps)
        return PrivacyPlan(spent(noise, delta, rate, steps), delta, self.clip, noise, rate, steps)


def batches_an_epoch(sample_rate: float) -> int:
    return max(1, round(1 / sample_rate))


def least_noise(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The noise multiplier with which so many steps spend `epsilon`, or up to 1 % less. Raises `RecipeError`
    if no noise is enough. opacus is imported when needed: it takes seconds."""
    from opacus.accountants.utils import get_noise_multiplier

    try:
        with _orders_at_their_ends():
            noise = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=epsilon / 100,
            )
    except ValueError as error:
        raise RecipeError("the accountant finds no noise for so small an epsilon: allow more") from error
    return float(noise)


def spent(noise_multiplier: float, delta: float, sample_rate: float, steps: int) -> float:
    """Epsilon of so many steps, an upper bound: Rényi differential privacy (Mironov 2017) of the subsampled
    Gaussian mechanism (Mironov, Talwar and Zhang 2019), as opacus accounts for it."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with _orders_at_their_ends():
        return float(accountant.get_epsilon(delta))


def _orders_at_their_ends() -> warnings.catch_warnings[None]:
    """Silences that a Rényi order out of range would be tighter: each order is a bound by itself."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def clipped(gradient: Sequence[Tensor], clip: float) -> list[Tensor]:
    """The gradient, scaled down to the norm `clip` if it is longer; zeros if it is not finite."""
    norm = torch.stack([part.double().norm() for part in gradient]).norm()
    if not norm.isfinite():
        return [torch.zeros_like(part) for part in gradient]
    return [part * float(clip / norm.clamp(min=clip)) for part in gradient]


class PrivateGradient:
    """Gradients of a plan, in the place of those of batches. Each rank samples from its shard of the
    patients, so that all together are one Poisson sample; the first adds the noise before they are summed.

    rng: of samples and noise. None takes the operating system's entropy: whoever knows the seed knows the
    noise, so it is never the recipe's.
    """

    def __init__(
        self,
        plan: PrivacyPlan,
        model: nn.Module,
        loss: StayLoss,
        patients: int,
        group: ProcessGroup,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._plan, self._loss, self._group = plan, loss, group
        self._parameters = list(model.parameters())
        self._expected = plan.sample_rate * patients
        self._patients = np.arange(patients)[group.shard]
        self._rng = rng or np.random.default_rng()

    def batches(self, _: np.random.Generator) -> list[NDArray[np.int64]]:
        """The batches of an epoch: each holds each of this rank's patients with probability `sample_rate`."""
        draws = [self._rng.random(len(self._patients)) for _ in range(self._plan.batches)]
        return [self._patients[draw < self._plan.sample_rate] for draw in draws]

    def set(self, patients: NDArray[np.int64]) -> float:
        """Give every parameter its private gradient. Returns 0: the loss of these patients is private."""
        sums = [torch.zeros_like(parameter) for parameter in self._parameters]
        for patient in patients:
            gradient = torch.autograd.grad(self._loss(int(patient)), self._parameters)
            for part, own in zip(sums, clipped(gradient, self._plan.clip), strict=True):
                part.add_(own)
        if self._group.is_main:
            for part in sums:
                part.add_(self._noise(part))
        self._group.add(sums)
        for parameter, part in zip(self._parameters, sums, strict=True):
            parameter.grad = part / self._expected
        return 0.0

    def _noise(self, like: Tensor) -> Tensor:
        deviation = self._plan.noise_multiplier * self._plan.clip
        return torch.from_numpy(self._rng.normal(0, deviation, like.shape)).to(like)
