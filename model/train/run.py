"""A whole training run: the teacher, the model, its calibration, its figures, its artifact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.model_selection import StratifiedKFold

from model import artifact
from model.datasets import physionet2012
from model.datasets.padding import step_owners
from model.datasets.stays import Outcomes, Stays, drop_implausible
from model.errors import DatasetError, RecipeError
from model.evaluate.horizons import Evaluation, evaluate_steps
from model.evaluate.offline import calibrated, step_logits
from model.reference import Reference
from model.risk_model import RiskModel
from model.train.calibration import calibrate, centre
from model.train.distributed import ALONE, ProcessGroup
from model.train.examples import Examples
from model.train.fit import EpochProgress, fit
from model.train.operating import alert_threshold, warm_after
from model.train.private import PrivacyPlan
from model.train.recipe import Recipe
from model.train.teacher import out_of_fold_targets

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """A set of recorded stays, free of implausible values, and its outcomes."""

    name: str
    stays: Stays
    outcomes: Outcomes

    @classmethod
    def read(cls, data: Path, names: str) -> RecordedSet:
        """Set of PhysioNet 2012 in `data`, or several as one ("a+b"). Raises `DatasetError`."""
        sets = names.split("+")
        stays = [drop_implausible(physionet2012.read(data, name)) for name in sets]
        outcomes = [physionet2012.read_outcomes(physionet2012.outcomes_path(data, name)) for name in sets]
        return cls(names, Stays.concat(stays), Outcomes.concat(outcomes))

    def examples(self) -> Examples:
        return Examples(self.stays, self.outcomes.of(self.stays.record_ids))


def train(
    recipe: Recipe,
    learnt: RecordedSet,
    validation: RecordedSet | None,
    out: Path,
    *,
    taught: Callable[[int], None] = lambda _: None,
    fitted: Callable[[EpochProgress], None] = lambda _: None,
    group: ProcessGroup = ALONE,
    plan: PrivacyPlan | None = None,
) -> tuple[RiskModel, Evaluation]:
    """Train on `learnt`, write the artifact to `out`; the model and its figures on patients not learnt from.

    With a `validation` set, it stops the training and fits calibration, alert threshold and warm-up. Without,
    training goes through all its epochs, and they are fitted on `learnt` itself, whose patients are scored in
    `recipe.calibration_folds` folds by models that did not learn from them (and whose teachers did not).

    An interrupted run continues from `out/checkpoints`. `taught` gets the number of the teachers' folds
    done, `fitted` each epoch. group: ranks that all call this; the first one teaches, and alone writes.
    plan: keep the patients of `learnt` private. Raises `DatasetError`, `RecipeError` if privacy cannot be
    kept, and `OSError` if `out` cannot be written.
    """
    work = _Work(recipe, out / CHECKPOINTS, taught, fitted, group, plan)
    examples = learnt.examples()
    _check(recipe, learnt, validation, plan)
    held_out = validation or learnt
    if validation:
        model = work.fit(examples, "model", validation.examples())
        logits = step_logits(model, validation.stays)
    else:
        logits, seen = work.cross_fit(examples)
        model = work.fit(examples, "model")
        centre(model, examples, seen, step_logits(model, learnt.stays), recipe.early_weight)
    risks = _settle(model, recipe, held_out, logits)
    model.reference = None if plan else Reference.fit(learnt.stays.values, risks)
    figures = evaluate_steps(risks, held_out.stays, held_out.outcomes)
    if group.is_main:
        artifact.save(model, out, _card(recipe, learnt, validation, figures, plan))
    return model, figures


@dataclass
class _Work:
    """Fits one model after the other, each with a teacher of its own."""

    recipe: Recipe
    checkpoints: Path
    taught: Callable[[int], None]
    fitted: Callable[[EpochProgress], None]
    group: ProcessGroup
    plan: PrivacyPlan | None
    rounds: int = 0

    def cross_fit(self, examples: Examples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits of every step [P + E] by the model that did not learn from the patient, and the mean of
        those by the models that did."""
        owner = step_owners(examples.stays)
        unseen, seen = (np.zeros(len(owner), dtype=np.float32) for _ in range(2))
        folds = StratifiedKFold(self.recipe.calibration_folds, shuffle=True, random_state=self.recipe.seed)
        for fold, (learnt, others) in enumerate(folds.split(examples.died, examples.died)):
            model = self.fit(examples.select(learnt), f"rehearsal-{fold}")
            logits, apart = step_logits(model, examples.stays), np.isin(owner, others)
            unseen[apart] = logits[apart]
            seen[~apart] += logits[~apart] / (self.recipe.calibration_folds - 1)
        return unseen, seen

    def fit(self, examples: Examples, name: str, validation: Examples | None = None) -> RiskModel:
        checkpoints, before = self.checkpoints / name, self.rounds
        if self.recipe.folds:
            targets = self.group.broadcast(
                lambda: out_of_fold_targets(
                    self.recipe,
                    examples,
                    checkpoints=checkpoints,
                    report=lambda fold: self.taught(before * self.recipe.folds + fold),
                )
            )
            examples = replace(examples, targets=targets)
        self.rounds += 1
        return fit(
            self.recipe,
            examples,
            validation,
            checkpoint=checkpoints / "model.pt",
            report=lambda progress: self.fitted(
                replace(progress, epoch=before * progress.epochs + progress.epoch)
            ),
            group=self.group,
            plan=self.plan,
        )


def _check(
    recipe: Recipe, learnt: RecordedSet, validation: RecordedSet | None, plan: PrivacyPlan | None
) -> None:
    """Raises, before hours are spent, if training cannot work or would be judged by patients learnt from."""
    if plan and not validation:
        raise RecipeError(
            "private training cannot be calibrated on patients it learns from: name another set"
        )
    if recipe.folds == 1:
        raise RecipeError("a teacher needs two folds at least, or none")
    ids = learnt.stays.record_ids
    if len(np.unique(ids)) < len(ids):
        raise DatasetError(f"set {learnt.name} has a patient twice")
    if validation and np.intersect1d(ids, validation.stays.record_ids).size:
        raise DatasetError(f"set {validation.name} shares patients with {learnt.name}: validate on another")
    _check_size(learnt, max(recipe.folds, 1 if validation else 2 * recipe.calibration_folds))
    if validation:
        _check_size(validation, 1)


def _check_size(part: RecordedSet, least: int) -> None:
    died = part.examples().died
    if min(died.sum(), (~died).sum()) < least:
        raise DatasetError(f"set {part.name} needs {least} who died and {least} who survived at least")


def _settle(
    model: RiskModel, recipe: Recipe, held_out: RecordedSet, logits: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fit what is fitted on held-out patients, given the logits of their steps; the risks of those steps."""
    examples = held_out.examples()
    calibrate(model, examples, logits, recipe.early_weight)
    risks = calibrated(model, logits, held_out.stays)
    model.alert_threshold = alert_threshold(examples, risks)
    model.warm_after = warm_after(examples, risks)
    return risks


def _card(
    recipe: Recipe,
    learnt: RecordedSet,
    validation: RecordedSet | None,
    figures: Evaluation,
    plan: PrivacyPlan | None,
) -> artifact.Card:
    cross_fitted = f"set {learnt.name} in {recipe.calibration_folds} folds"
    held_out = f"set {validation.name}" if validation else cross_fitted
    metrics: dict[str, JsonValue] = {
        f"{held_out}, {'last score' if horizon.hours is None else f'{horizon.hours:g} h'}": {
            "auroc": _rounded(horizon.auroc),
            "auprc": _rounded(horizon.auprc),
            "brier": _rounded(horizon.brier),
        }
        for horizon in figures.horizons
    }
    if plan:
        metrics["privacy"] = plan.to_json()
    role = "stopped the training and calibrated the risk" if validation else "calibrated the risk"
    return artifact.Card(
        data=f"PhysioNet/CinC Challenge 2012: learnt from set {learnt.name} ({len(learnt.stays)} stays); "
        f"{held_out} {role}",
        recipe=recipe.to_json(),
        metrics=metrics,
    )


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)
