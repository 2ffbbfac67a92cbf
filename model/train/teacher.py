"""Trees as a teacher: what they say of patients whom they did not learn from.

Their probability at each step is a better target than the outcome alone: it tells how much of the outcome
could be known at that time (distillation, Hinton, Vinyals and Dean 2015). Being out of fold, it is not
overconfident. Gradient boosting and extremely randomised trees (Geurts, Ernst and Wehenkel 2006) err in
different ways: the mean of their log-odds is better than each. The trees themselves are not shipped: the
recurrent cell learns to say the same in one step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from model.datasets.padding import step_hours, step_owners, step_starts
from model.train.checkpoint import Checkpoint
from model.train.examples import RAMP_HOURS, Examples
from model.train.recipe import Recipe
from model.train.statistics import COLUMNS, statistics

STEPS_A_PATIENT = 9
"""Random steps of each patient that trees learn from, beside the last: neighbours say little more."""

KIND = "boosting and a forest"
"""Tells the stored folds of this teacher from those of another version's."""

CERTAIN = 1e-4
"""Probabilities nearer to 0 or 1 count as this far from them."""


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
    known = statistics(examples.stays)
    targets = np.empty(len(owner), dtype=np.float32)
    identity = {"kind": KIND, "seed": recipe.seed, "folds": recipe.folds, "data": examples.digest()}
    folds = StratifiedKFold(recipe.folds, shuffle=True, random_state=recipe.seed)
    for fold, (learnt, unseen) in enumerate(folds.split(examples.died, examples.died)):
        saved = Checkpoint(checkpoints and checkpoints / f"teacher-{fold}.pt", identity)
        state = saved.read()
        if state is None:
            rows = sampled(examples, learnt, np.random.default_rng((recipe.seed, fold)))
            probabilities = teacher(
                known[rows], examples.died[owner[rows]], recipe.seed + fold, known[np.isin(owner, unseen)]
            )
            state = {"probabilities": torch.from_numpy(probabilities)}
            saved.write(state)
        targets[np.isin(owner, unseen)] = state["probabilities"].numpy()
        report(fold + 1)
    return targets


def teacher(
    known: NDArray[np.float32], died: NDArray[np.bool_], seed: int, unseen: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Probabilities of rows `unseen` of `statistics` by boosting of all columns and a forest of the running
    ones, which learnt from rows `known`."""
    by_boosting = boosted(known, died, seed).predict_proba(unseen)[:, 1]
    by_forest = _forest(known[:, :COLUMNS], died, seed).predict_proba(unseen[:, :COLUMNS])[:, 1]
    said = logit(np.stack((by_boosting, by_forest)).clip(CERTAIN, 1 - CERTAIN))
    return np.asarray(expit(said.mean(axis=0)))


def _forest(known: NDArray[np.float32], died: NDArray[np.bool_], seed: int) -> Pipeline:
    """Extremely randomised trees; what was never measured is taken to be the median."""
    forest = ExtraTreesClassifier(
        60, min_samples_leaf=5, max_features=0.1, n_jobs=torch.get_num_threads(), random_state=seed
    )
    fitted = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("trees", forest)]
    )
    fitted.fit(known, died)
    # Several threads would add up the trees' votes in another order each time.
    return fitted.set_params(trees__n_jobs=1)


def boosted(known: NDArray[np.float32], died: NDArray[np.bool_], seed: int) -> HistGradientBoostingClassifier:
    """The boosting model of rows of statistics. A column that nobody measured is made constant:
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
    measured = np.isfinite(known).any(axis=0)
    with threadpool_limits(torch.get_num_threads()):
        return boosting.fit(np.where(measured, known, 0), died)


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
