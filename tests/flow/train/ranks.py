"""What every rank does under torchrun: trains the same models and leaves what it has in a folder.

torchrun --nproc-per-node 2 -m tests.flow.train.ranks FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.train.distributed import ALONE, ProcessGroup, process_group
from model.train.fit import _loss, fit
from model.train.private import PrivacyPlan, PrivateGradient
from model.train.recipe import Recipe
from tests.unit.model import synthetic

PATIENTS = 43
BY_STEP = Recipe(
    hidden_size=8, epochs=12, batch_size=PATIENTS, learning_rate=0.01, average_decay=0.9, folds=0
)
"""One step an epoch, of a batch that does not halve evenly: what is told is the loss of each step."""
BY_EPOCH = replace(BY_STEP, epochs=3, batch_size=6, cell="gru-d")
"""Seven whole batches and one of a single patient: the second rank has none of it."""
PLAN = PrivacyPlan(epsilon=8, delta=1e-3, clip=0.5, noise_multiplier=0, sample_rate=1, steps=1)


def results(group: ProcessGroup, folder: Path) -> dict[str, object]:
    """losses by recipe: (training, validation) of each epoch; weights; a private gradient without noise."""
    torch.set_num_threads(1)
    examples, unseen = synthetic.learnable(PATIENTS), synthetic.learnable(30, seed=1)
    found: dict[str, object] = {"calls": 0}

    def once() -> str:
        found["calls"] = 1
        return f"by rank {group.rank}"

    found["shared"] = group.broadcast(once)
    for name, recipe in (("step", BY_STEP), ("epoch", BY_EPOCH)):
        losses: list[tuple[float, float]] = []
        model = fit(
            recipe,
            examples,
            unseen,
            checkpoint=folder / f"{name}.checkpoint",
            report=lambda told, losses=losses: losses.append((told.loss, told.validation_loss)),
            group=group,
        )
        found[name] = losses
        found[f"{name} weights"] = torch.cat([part.detach().flatten() for part in model.parameters()])
    found["private"] = private_gradient(examples, group)
    return found


def private_gradient(examples, group: ProcessGroup) -> torch.Tensor:
    model = synthetic.model(hidden_size=8).requires_grad_(True)
    gradient = PrivateGradient(
        PLAN, model, lambda patient: _loss(model, BY_STEP, examples, np.array([patient])), PATIENTS, group
    )
    for patients in gradient.batches(np.random.default_rng()):
        gradient.set(patients)
    return torch.cat([part.grad.flatten() for part in model.parameters()])


if __name__ == "__main__":
    with process_group() as group:
        assert group is not ALONE
        found = results(group, Path(sys.argv[1]))
        torch.save(found, Path(sys.argv[1]) / f"rank-{group.rank}.pt")
