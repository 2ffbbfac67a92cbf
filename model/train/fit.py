"""One model fitted to stays: the loss at every step, AdamW, weight averaging, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from model.datasets.padding import Batch, ordered_batches, pad, shuffled_batches, step_starts
from model.datasets.stays import Stays
from model.features import Normalisation
from model.risk_model import RiskModel
from model.train import public
from model.train.checkpoint import Checkpoint
from model.train.distributed import ALONE, ProcessGroup
from model.train.examples import RAMP_HOURS, Examples
from model.train.private import PrivacyPlan, PrivateGradient
from model.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """Reported after each epoch. losses are means a patient; loss is None if training is private,
    validation_loss without validation."""

    epoch: int
    epochs: int
    loss: float | None
    validation_loss: float | None


Report = Callable[[EpochProgress], None]


def fit(
    recipe: Recipe,
    examples: Examples,
    validation: Examples | None = None,
    *,
    checkpoint: Path | None = None,
    report: Report = lambda _: None,
    group: ProcessGroup = ALONE,
    plan: PrivacyPlan | None = None,
) -> RiskModel:
    """The averaged weights of the epoch with the least validation loss (of the last without validation).

    An interrupted run continues from `checkpoint`, after the last whole epoch, to the same result.
    group: ranks that call this with the same arguments and get the same weights, as one process would, but
    for rounding; the first alone reads and writes the checkpoint. plan: train privately; a resumed run is
    then another one, since its noise is never the same.
    Raises `DatasetError` if the checkpoint is of another recipe or other stays, `RecipeError` if
    private training is to learn from a teacher, or longer than planned.
    """
    if plan:
        plan.check(recipe, examples)
    run = _Run(recipe, _initial(recipe, examples, private=plan is not None), examples, group, plan)
    parameters = sum(weight.numel() for weight in run.model.parameters())
    identity = {**asdict(recipe), "data": examples.digest(), "parameters": parameters}
    identity |= {"validation": validation.digest()} if validation else {}
    identity |= {"plan": asdict(plan)} if plan else {}
    saved = Checkpoint(checkpoint if group.is_main else None, identity)
    run.restore(group.broadcast(saved.read))
    while run.epoch < recipe.epochs and run.stale < recipe.patience:
        loss = run.train_epoch()
        validation_loss = mean_loss(run.average, recipe, validation, group) if validation else None
        run.keep(validation_loss)
        saved.write(run.state())
        report(EpochProgress(run.epoch, recipe.epochs, None if plan else loss, validation_loss))
    return run.best.eval().cpu()


def mean_loss(model: RiskModel, recipe: Recipe, examples: Examples, group: ProcessGroup = ALONE) -> float:
    """The loss of training, over all patients, without updating anything."""
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for patients in ordered_batches(examples.stays, 128)[group.shard]:
            total += float(_loss(model, recipe, examples, patients)) * len(patients)
    return group.total(total) / len(examples.stays)


def _initial(recipe: Recipe, examples: Examples, *, private: bool) -> RiskModel:
    """Random weights; the normalisation and the base rate are those of the examples, or public ones if
    `private`."""
    torch.manual_seed(recipe.seed)
    stays = examples.stays
    normalisation = public.normalisation() if private else Normalisation.fit(stays.values, stays.statics)
    model = RiskModel(recipe.shape, normalisation, dropout=recipe.dropout)
    with torch.no_grad():
        model.head.bias.fill_(_log_odds(public.MORTALITY if private else _base_rate(examples.died)))
    return model


BatchLoss = Callable[[nn.Module, NDArray[np.int64]], Tensor]
"""The mean loss of a model, or of what holds it, over some patients."""


class _BatchGradient:
    """Gradients of the mean loss over each batch, of which every rank takes its shard."""

    def __init__(
        self, recipe: Recipe, model: RiskModel, loss: BatchLoss, stays: Stays, group: ProcessGroup
    ) -> None:
        self._recipe, self._model, self._loss, self._stays, self._group = recipe, model, loss, stays, group
        self._parallel = group.parallel(model)

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        return shuffled_batches(self._stays, self._recipe.batch_size, rng)

    def set(self, patients: NDArray[np.int64]) -> float:
        """Give every parameter its gradient; the summed loss of this rank's patients. A rank without any
        takes part with one that weighs nothing: the others wait for it."""
        mine = patients[self._group.shard]
        loss = self._loss(self._parallel, mine if len(mine) else patients[:1])
        self._model.zero_grad()
        (loss * (self._group.size * len(mine) / len(patients))).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip_norm)
        return loss.item() * len(mine)


class _Run:
    """The moving parts of a fit. average: what is evaluated; best: the average that is kept so far."""

    def __init__(
        self,
        recipe: Recipe,
        model: RiskModel,
        examples: Examples,
        group: ProcessGroup,
        plan: PrivacyPlan | None,
    ) -> None:
        self.recipe, self.model, self.examples, self.group = recipe, model.to(group.device), examples, group
        self.shown = examples
        self.average, self.best = copy.deepcopy(model), copy.deepcopy(model)
        self.gradient = (
            PrivateGradient(plan, model, self._stay_loss, len(examples.stays), group)
            if plan
            else _BatchGradient(recipe, model, self._batch_loss, examples.stays, group)
        )
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.epoch, self.steps, self.stale = 0, 0, 0
        self.best_loss = math.inf

    def train_epoch(self) -> float:
        """Every patient once; the mean loss."""
        rng = np.random.default_rng((self.recipe.seed, self.epoch))
        torch.manual_seed(int(rng.integers(2**31)) + self.group.rank)
        batches = self.gradient.batches(rng)
        self.shown = _some_hidden(self.examples, self.recipe.variable_dropout, rng)
        self.model.train()
        total = 0.0
        for patients in batches:
            self._set_learning_rate(self.steps / (self.recipe.epochs * len(batches)))
            total += self.gradient.set(patients)
            self.optimizer.step()
            self.steps += 1
            self._follow()
        self.epoch += 1
        return self.group.total(total) / len(self.examples.stays)

    def keep(self, validation_loss: float | None) -> None:
        """Keep the average as the best so far if it is the best (always, without validation)."""
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

    def restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.best.load_state_dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.steps, self.stale = state["counters"]
        self.best_loss = state["best_loss"]

    def _batch_loss(self, model: nn.Module, patients: NDArray[np.int64]) -> Tensor:
        return _loss(model, self.recipe, self.shown, patients)

    def _stay_loss(self, patient: int) -> Tensor:
        return self._batch_loss(self.model, np.array([patient]))

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


def _loss(model: nn.Module, recipe: Recipe, examples: Examples, patients: NDArray[np.int64]) -> Tensor:
    """Cross-entropy at every step, weighted by time; every patient weighs the same."""
    batch = pad(examples.stays, patients).to(next(model.parameters()).device)
    logits = model(batch.values, batch.statics, batch.elapsed)
    losses = binary_cross_entropy_with_logits(
        logits,
        _targets(recipe, examples, patients, batch).to(logits.device),
        reduction="none",
        pos_weight=logits.new_tensor(recipe.positive_weight),
    )
    ramp = recipe.early_weight + (1 - recipe.early_weight) * batch.hours / RAMP_HOURS
    weights = ramp * batch.valid
    return ((losses * weights).sum(dim=1) / weights.sum(dim=1)).mean()


def _some_hidden(examples: Examples, rate: float, rng: np.random.Generator) -> Examples:
    """The same, but as if each variable of each stay had, by chance `rate`, never been measured."""
    if not rate:
        return examples
    stays = examples.stays
    hidden = rng.random((len(stays), stays.values.shape[1])) < rate
    values = stays.values.copy()
    values[np.repeat(hidden, np.diff(stays.starts), axis=0)] = np.nan
    return replace(examples, stays=replace(stays, values=values))


def _targets(recipe: Recipe, examples: Examples, patients: NDArray[np.int64], batch: Batch) -> Tensor:
    """Probabilities to learn [B, T]; 0 in the padding."""
    died = torch.from_numpy(examples.died[patients]).float()[:, None].expand(batch.valid.shape)
    if examples.targets is None:
        return died
    starts = step_starts(examples.stays)
    soft = np.zeros(batch.valid.shape, dtype=np.float32)
    for row, patient in enumerate(patients):
        steps = examples.targets[starts[patient] : starts[patient + 1]]
        soft[row, : len(steps)] = steps + recipe.hindsight * (steps[-1] - steps)
    return recipe.label_weight * died + (1 - recipe.label_weight) * torch.from_numpy(soft)


def _base_rate(died: NDArray[np.bool_]) -> float:
    """Kept off 0 and 1: where the head's bias starts."""
    return float((died.sum() + 1) / (len(died) + 2))


def _log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))
