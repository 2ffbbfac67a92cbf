"""Gradient boosting as a teacher: its predictions for patients it did not learn from.

Its probability at each step is a better target than the outcome alone: it shows how much of the outcome could
be known at that time (distillation, Hinton, Vinyals and Dean 2015). Being out of fold, it is not
overconfident. Boosting itself is not shipped: the recurrent cell learns to predict the same in one step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from model.datasets.padding import step_hours, step_owners, step_starts
from model.train.checkpoint import Checkpoint
from model.train.examples import RAMP_HOURS, Examples
from model.train.recipe import Recipe
from model.train.statistics import running_statistics

STEPS_A_PATIENT = 9
"""Random steps of each patient that boosting learns from, beside the last: neighbours say little more."""


def out_of_fold_targets(
    recipe: Recipe,
    examples: Examples,
    *,
    checkpoints: Path | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """Probability of death at every step [P + E], by models that did not see the patient.

    Folds that are in `checkpoints` are not computed again. `report` gets the number of folds done.
    """
    owner = step_owners(examples.stays)
    statistics = running_statistics(examples.stays)
    targets = np.empty(len(owner), dtype=np.float32)
    identity = {"seed": recipe.seed, "folds": recipe.folds, "data": examples.digest()}
    folds = StratifiedKFold(recipe.folds, shuffle=True, random_state=recipe.seed)
    for fold, (learnt, unseen) in enumerate(folds.split(examples.died, examples.died)):
        saved = Checkpoint(checkpoints and checkpoints / f"teacher-{fold}.pt", identity)
        state = saved.read()
        if state is None:
            rows = sampled(examples, learnt, np.random.default_rng((recipe.seed, fold)))
            boosting = boosted(statistics[rows], examples.died[owner[rows]], recipe.seed + fold)
            probabilities = boosting.predict_proba(statistics[np.isin(owner, unseen)])[:, 1]
            state = {"probabilities": torch.from_numpy(probabilities)}
            saved.write(state)
        targets[np.isin(owner, unseen)] = state["probabilities"].numpy()
        report(fold + 1)
    return targets


def boosted(
    statistics: NDArray[np.float32], died: NDArray[np.bool_], seed: int
) -> HistGradientBoostingClassifier:
    """The boosting model of rows of `running_statistics`. A column that nobody measured is made constant:
    scikit-learn cannot bin one without any value."""
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.04,
        max_iter=220,
        max_leaf_nodes=12,
        min_samples_leaf=60,
        l2_regularization=5.0,
        max_features=0.2,
        early_stopping=False,
        random_state=seed,
    )
    measured = np.isfinite(statistics).any(axis=0)
    with threadpool_limits(torch.get_num_threads()):
        return boosting.fit(np.where(measured, statistics, 0), died)


def sampled(examples: Examples, patients: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Flat rows of random steps of these patients, later ones more often, and their last."""
    starts, hours = step_starts(examples.stays), step_hours(examples.stays)
    rows = []
    for patient in patients:
        steps = np.arange(starts[patient], starts[patient + 1])
        weights = 0.1 + hours[steps] / RAMP_HOURS
        size = min(len(steps), STEPS_A_PATIENT)
        chosen = rng.choice(steps, size, replace=False, p=weights / weights.sum())
        rows.append(np.union1d(chosen, steps[-1:]))
    return np.concatenate(rows)
