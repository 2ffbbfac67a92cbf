"""One model fitted to stays: the loss at every step, AdamW, weight averaging, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from model.datasets.padding import Batch, ordered_batches, pad, shuffled_batches, step_starts
from model.features import Normalisation
from model.risk_model import RiskModel
from model.train.checkpoint import Checkpoint
from model.train.examples import RAMP_HOURS, Examples
from model.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each epoch. losses are means a patient; validation_loss is None without validation."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None


Report = Callable[[Progress], None]


def fit(
    recipe: Recipe,
    examples: Examples,
    validation: Examples | None = None,
    *,
    checkpoint: Path | None = None,
    report: Report = lambda _: None,
) -> RiskModel:
    """The averaged weights of the epoch with the least validation loss (of the last without validation).

    A run that was cut off goes on from `checkpoint`, after the last whole epoch, to the same result.
    Raises `DatasetError` where the checkpoint is of another recipe or other stays.
    """
    torch.manual_seed(recipe.seed)
    normalisation = Normalisation.fit(examples.stays.values, examples.stays.statics)
    model = RiskModel(recipe.shape, normalisation, dropout=recipe.dropout)
    with torch.no_grad():
        model.head.bias.fill_(_log_odds(examples.died))
    run = _Run(recipe, model, examples)
    saved = Checkpoint(checkpoint, {**asdict(recipe), "patients": len(examples.stays)})
    run.restore(saved)
    while run.epoch < recipe.epochs and run.stale < recipe.patience:
        loss = run.train_epoch()
        validation_loss = mean_loss(run.average, recipe, validation) if validation else None
        run.keep(validation_loss)
        saved.write(run.state())
        report(Progress(run.epoch, recipe.epochs, loss, validation_loss))
    return run.best.eval()


def mean_loss(model: RiskModel, recipe: Recipe, examples: Examples) -> float:
    """The loss of training, over all patients, without updating anything."""
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for patients in ordered_batches(examples.stays, 128):
            total += float(_loss(model, recipe, examples, patients)) * len(patients)
    return total / len(examples.stays)


class _Run:
    """The moving parts of a fit. average: what is evaluated; best: the average that is kept so far."""

    def __init__(self, recipe: Recipe, model: RiskModel, examples: Examples) -> None:
        self.recipe, self.model, self.examples = recipe, model, examples
        self.average, self.best = copy.deepcopy(model), copy.deepcopy(model)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.epoch, self.steps, self.stale = 0, 0, 0
        self.best_loss = math.inf

    def train_epoch(self) -> float:
        """Every patient once; the mean loss."""
        rng = np.random.default_rng((self.recipe.seed, self.epoch))
        torch.manual_seed(int(rng.integers(2**31)))
        batches = shuffled_batches(self.examples.stays, self.recipe.batch_size, rng)
        self.model.train()
        total = 0.0
        for patients in batches:
            self._set_learning_rate(self.steps / (self.recipe.epochs * len(batches)))
            loss = _loss(self.model, self.recipe, self.examples, patients)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self.optimizer.step()
            self.steps += 1
            self._follow()
            total += loss.item() * len(patients)
        self.epoch += 1
        return total / len(self.examples.stays)

    def keep(self, validation_loss: float | None) -> None:
        """Take the average as the best so far where it is (always, without validation)."""
        if validation_loss is not None and validation_loss >= self.best_loss:
            self.stale += 1
            return
        self.stale = 0
        self.best_loss = self.best_loss if validation_loss is None else validation_loss
        self.best.load_state_dict(self.average.state_dict())

    def state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": [self.epoch, self.steps, self.stale],
            "best_loss": self.best_loss,
        }

    def restore(self, saved: Checkpoint) -> None:
        state = saved.read()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.best.load_state_dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.steps, self.stale = state["counters"]
        self.best_loss = state["best_loss"]

    def _set_learning_rate(self, done: float) -> None:
        """Linear over the first tenth of the run, then half a cosine down to zero."""
        factor = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * max(factor, 1e-3)

    def _follow(self) -> None:
        """Move the average toward the weights, faster at the start."""
        decay = min(self.recipe.average_decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)


def _loss(model: RiskModel, recipe: Recipe, examples: Examples, patients: NDArray[np.int64]) -> Tensor:
    """Cross-entropy at every step, weighted by time; every patient weighs the same."""
    batch = pad(examples.stays, patients)
    logits = model(batch.values, batch.statics, batch.elapsed)
    losses = binary_cross_entropy_with_logits(
        logits,
        _targets(recipe, examples, patients, batch),
        reduction="none",
        pos_weight=torch.tensor(recipe.positive_weight),
    )
    ramp = recipe.early_weight + (1 - recipe.early_weight) * batch.hours / RAMP_HOURS
    weights = ramp * batch.valid
    return ((losses * weights).sum(dim=1) / weights.sum(dim=1)).mean()


def _targets(recipe: Recipe, examples: Examples, patients: NDArray[np.int64], batch: Batch) -> Tensor:
    """Probabilities to learn [B, T]; 0 in the padding."""
    died = torch.from_numpy(examples.died[patients]).float()[:, None].expand(batch.valid.shape)
    if examples.targets is None:
        return died
    starts = step_starts(examples.stays)
    soft = np.zeros(batch.valid.shape, dtype=np.float32)
    for row, patient in enumerate(patients):
        steps = examples.targets[starts[patient] : starts[patient + 1]]
        soft[row, : len(steps)] = steps
    return recipe.label_weight * died + (1 - recipe.label_weight) * torch.from_numpy(soft)


def _log_odds(died: NDArray[np.bool_]) -> float:
    """Of the base rate, kept off 0 and 1: where the head's bias starts."""
    rate = (died.sum() + 1) / (len(died) + 2)
    return float(np.log(rate / (1 - rate)))
