from __future__ import annotations

from dataclasses import replace

import torch

from model.train.fit import fit, mean_loss
from model.train.private import Privacy
from tests.unit.model import synthetic
from tests.unit.model.train.test_private import EXAMPLES, RECIPE


def test_the_recipes_seed_reveals_nothing_of_samples_and_noise() -> None:
    """It is in the card: who could draw the noise again could take it away."""
    plan = Privacy(8.0).plan(RECIPE, 40)
    first, second = (fit(RECIPE, EXAMPLES, plan=plan) for _ in range(2))
    assert not torch.equal(first.head.weight, second.head.weight)


def test_what_can_be_learnt_is_learnt_privately() -> None:
    unseen = synthetic.learnable(seed=1)
    recipe = replace(RECIPE, epochs=10, batch_size=30, learning_rate=0.05)
    plan = Privacy(50.0).plan(recipe, 120)
    losses = [
        mean_loss(fit(replace(recipe, epochs=epochs), synthetic.learnable(), plan=plan), recipe, unseen)
        for epochs in (0, 10)
    ]
    assert losses[1] < 0.8 * losses[0]
