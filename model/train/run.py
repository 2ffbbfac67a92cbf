"""A whole training run: the teacher, the model, its calibration, its figures, its artifact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from model import artifact
from model.datasets import physionet2012
from model.datasets.stays import Outcomes, Stays, drop_implausible
from model.errors import RecipeError
from model.evaluate.horizons import Evaluation, evaluate_offline
from model.evaluate.offline import step_risks
from model.reference import Reference
from model.risk_model import RiskModel
from model.train.calibration import calibrate
from model.train.distributed import ALONE, Group
from model.train.examples import Examples
from model.train.fit import Progress, fit
from model.train.private import Plan
from model.train.recipe import Recipe
from model.train.teacher import out_of_fold_targets

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A set of recorded stays, free of implausible values, and its outcomes."""

    name: str
    stays: Stays
    outcomes: Outcomes

    @classmethod
    def read(cls, data: Path, name: str) -> Recorded:
        """Set `name` of PhysioNet 2012 in `data`. Raises `DatasetError`."""
        stays = drop_implausible(physionet2012.read(data, name))
        return cls(name, stays, physionet2012.read_outcomes(physionet2012.outcomes_path(data, name)))

    def examples(self) -> Examples:
        return Examples(self.stays, self.outcomes.of(self.stays.record_ids))


def train(
    recipe: Recipe,
    learnt: Recorded,
    validation: Recorded,
    out: Path,
    *,
    taught: Callable[[int], None] = lambda _: None,
    fitted: Callable[[Progress], None] = lambda _: None,
    group: Group = ALONE,
    plan: Plan | None = None,
) -> tuple[RiskModel, Evaluation]:
    """Train on `learnt`, stop and calibrate on `validation`, write the artifact to `out`.

    A run that was cut off goes on from `out/checkpoints`. `taught` gets the number of the teacher's folds
    done, `fitted` each epoch. group: ranks that all call this; the first one teaches, and alone writes.
    plan: keep the patients of `learnt` private. Returns the model and its figures on `validation`. Raises
    `DatasetError`, and `RecipeError` where privacy cannot be kept.
    """
    checkpoints = out / CHECKPOINTS
    examples, held_out = learnt.examples(), validation.examples()
    if plan and np.intersect1d(learnt.stays.record_ids, validation.stays.record_ids).size:
        raise RecipeError("private training cannot be validated on patients it learns from: name another set")
    if recipe.folds:
        targets = group.shared(
            lambda: out_of_fold_targets(recipe, examples, checkpoints=checkpoints, report=taught)
        )
        examples = replace(examples, targets=targets)
    model = fit(
        recipe,
        examples,
        held_out,
        checkpoint=checkpoints / "model.pt",
        report=fitted,
        group=group,
        plan=plan,
    )
    calibrate(model, held_out, recipe.early_weight)
    model.reference = Reference.fit(learnt.stays.values, step_risks(model, validation.stays))
    figures = evaluate_offline(model, validation.stays, validation.outcomes)
    if group.leads:
        artifact.save(model, out, _card(recipe, learnt, validation, figures, plan))
    return model, figures


def _card(
    recipe: Recipe, learnt: Recorded, validation: Recorded, figures: Evaluation, plan: Plan | None
) -> artifact.Card:
    metrics: dict[str, JsonValue] = {
        f"set {validation.name}, {'last score' if horizon.hours is None else f'{horizon.hours:g} h'}": {
            "auroc": _rounded(horizon.auroc),
            "auprc": _rounded(horizon.auprc),
            "brier": _rounded(horizon.brier),
        }
        for horizon in figures.horizons
    }
    if plan:
        metrics["privacy"] = plan.to_json()
    return artifact.Card(
        data=f"PhysioNet/CinC Challenge 2012: learnt from set {learnt.name} ({len(learnt.stays)} stays); "
        f"set {validation.name} stopped the training and calibrated the risk",
        recipe=recipe.to_json(),
        metrics=metrics,
    )


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)
