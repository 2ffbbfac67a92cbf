"""The trainings that the report compares, each of them over several seeds, kept in a folder.

What is there already is not trained again, unless its recipe has changed since.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from model import artifact
from model.errors import ArtifactError
from model.risk_model import RiskModel
from model.train.fit import fit
from model.train.recipe import Recipe
from model.train.run import CHECKPOINTS, RecordedSet, train
from model.train.teacher import out_of_fold_targets

SHIPPED = Recipe()
PLAIN = replace(SHIPPED, wide_size=0, folds=0, variable_dropout=0.0)

CELLS = {
    f"{title} 64, plain": replace(PLAIN, cell=cell)
    for title, cell in (("RNN", "rnn"), ("LSTM", "lstm"), ("GRU", "gru"), ("GRU-D", "gru-d"))
}
"""The cells alone: no wide path, no teacher, nothing hidden."""

TRIED = {
    "without a teacher": replace(SHIPPED, folds=0),
    "the teacher alone, no outcome": replace(SHIPPED, label_weight=0.0),
    "half teacher, half outcome": replace(SHIPPED, label_weight=0.5),
    "no hindsight": replace(SHIPPED, hindsight=0.0),
    "all hindsight": replace(SHIPPED, hindsight=1.0),
    "without the wide path": replace(SHIPPED, wide_size=0),
    "GRU 128, without the wide path": replace(SHIPPED, wide_size=0, hidden_size=128),
    "GRU 32": replace(SHIPPED, hidden_size=32),
    "no variables hidden": replace(SHIPPED, variable_dropout=0.0),
    "variables hidden at 0.3": replace(SHIPPED, variable_dropout=0.3),
    "dropout 0.2": replace(SHIPPED, dropout=0.2),
    "early steps count 0.05": replace(SHIPPED, early_weight=0.05),
    "every step counts the same": replace(SHIPPED, early_weight=1.0),
    "deaths count three times": replace(SHIPPED, positive_weight=3.0),
    "without weight averaging": replace(SHIPPED, average_decay=0.0),
    "8 epochs": replace(SHIPPED, epochs=8),
    "20 epochs": replace(SHIPPED, epochs=20),
}
"""Single changes of the shipped recipe."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Models learnt from set a in `data`, in subfolders of `folder`."""

    data: Path
    folder: Path
    seeds: int

    def make(self, processes: int) -> None:
        """Train what is missing, several at a time; with one process, in this one. Blocks for minutes to
        hours."""
        first = [
            (_calibrated, self.data, self.calibrated_folder(seed), recipe)
            for seed, recipe in self._seeded(SHIPPED)
            if not _is_made(self.calibrated_folder(seed), recipe)
        ]
        then = [
            (_light, self.data, self.light_folder(name, seed), seeded, self._teacher(seed))
            for name, recipe in (CELLS | TRIED).items()
            for seed, seeded in self._seeded(recipe)
            if not _is_made(self.light_folder(name, seed), seeded)
        ]
        for jobs in (first, then):
            _do(jobs, processes)

    def calibrated_folder(self, seed: int) -> Path:
        return self.folder / f"a-{seed}"

    def light_folder(self, name: str, seed: int) -> Path:
        return self.folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}"

    def _seeded(self, recipe: Recipe) -> list[tuple[int, Recipe]]:
        return [(seed, replace(recipe, seed=seed)) for seed in range(self.seeds)]

    def _teacher(self, seed: int) -> Path:
        """What the teacher of the calibrated run predicted for all patients serves every run of the seed."""
        return self.calibrated_folder(seed) / CHECKPOINTS / "model"

    def calibrated(self) -> list[RiskModel]:
        """The shipped recipe's models, calibrated, one a seed."""
        return [artifact.load(self.calibrated_folder(seed)) for seed in range(self.seeds)]

    def light(self, name: str) -> list[RiskModel]:
        """Models of one of `CELLS` or `TRIED`, not calibrated, one a seed."""
        return [artifact.load(self.light_folder(name, seed)) for seed in range(self.seeds)]


def _do(jobs: list[tuple[Any, ...]], processes: int) -> None:
    """Call the functions, each given with its arguments."""
    if processes == 1:
        for job, *given in jobs:
            job(*given)
        return
    # Spawned: a forked child would hang in the parent's OpenMP.
    with ProcessPoolExecutor(processes, get_context("spawn"), _start_worker) as pool:
        for made in [pool.submit(*job) for job in jobs]:
            made.result()


def _start_worker() -> None:
    """One thread each, and an end with the parent: a pool's worker would finish its training without it."""
    torch.set_num_threads(1)
    if parent := parent_process():
        Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _is_made(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder has the recipe's model."""
    with suppress(ArtifactError):
        artifact.load(folder)
        return artifact.read_description(folder).training.recipe == recipe.to_json()
    return False


def _clear(folder: Path) -> None:
    """Remove a model that was made by another recipe; an interrupted run stays, and continues."""
    if (folder / artifact.DESCRIPTION).exists():
        shutil.rmtree(folder)


def _calibrated(data: Path, folder: Path, recipe: Recipe) -> None:
    _clear(folder)
    train(recipe, RecordedSet.read(data, "a"), None, folder)


def _light(data: Path, folder: Path, recipe: Recipe, teacher: Path) -> None:
    """One fit, without what `train` makes of it."""
    _clear(folder)
    examples = RecordedSet.read(data, "a").examples()
    if recipe.folds:
        examples = replace(examples, targets=out_of_fold_targets(recipe, examples, checkpoints=teacher))
    model = fit(recipe, examples, checkpoint=folder / CHECKPOINTS / "model.pt")
    artifact.save(model, folder, artifact.Card(data="set a", recipe=recipe.to_json()))
