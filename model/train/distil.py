"""Out-of-fold teachers: what models say of patients whom they did not learn from.

Their mean log-odds at each step is a better target than the outcome alone: it says how much of the outcome
could be known at that time (Hinton, Vinyals and Dean 2015, with out-of-fold scores instead of fitted ones).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

from model.datasets.padding import step_starts
from model.evaluate.offline import step_logits
from model.train.fit import Examples, Progress, fit
from model.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Teacher:
    """One of `recipe.teachers * recipe.folds` models: learns from all folds but its own."""

    number: int
    fold: int


TeacherReport = Callable[[Teacher, Progress], None]


def out_of_fold_targets(
    recipe: Recipe,
    examples: Examples,
    *,
    checkpoints: Path | None = None,
    report: TeacherReport = lambda *_: None,
) -> NDArray[np.float32]:
    """Probability at every step [P + E], from teachers that did not see the patient.

    Each teacher is stopped by the loss on the fold that it then scores; that favours it a little, and
    alike for all patients.
    """
    starts = step_starts(examples.stays)
    log_odds = np.zeros(int(starts[-1]))
    for number in range(recipe.teachers):
        seed = recipe.seed + 1 + number
        splits = StratifiedKFold(recipe.folds, shuffle=True, random_state=seed).split(
            examples.died, examples.died
        )
        for fold, (learnt, held_out) in enumerate(splits):
            teacher = Teacher(number, fold)
            unseen = examples.select(held_out)
            model = fit(
                replace(recipe, seed=1000 * seed + fold),
                examples.select(learnt),
                unseen,
                checkpoint=checkpoints and checkpoints / f"teacher-{number}-{fold}.pt",
                report=lambda progress, teacher=teacher: report(teacher, progress),  # type: ignore[misc]
            )
            scored = step_logits(model, unseen.stays)
            unseen_starts = step_starts(unseen.stays)
            for row, patient in enumerate(held_out):
                steps = slice(starts[patient], starts[patient + 1])
                log_odds[steps] += scored[unseen_starts[row] : unseen_starts[row + 1]]
    return (1 / (1 + np.exp(-log_odds / recipe.teachers))).astype(np.float32)
