from dataclasses import replace

import numpy as np
import pytest
import torch

from model.cells import CELL_NAMES
from model.datasets.padding import step_starts
from model.errors import DatasetError
from model.evaluate.offline import step_logits
from model.train.fit import fit, mean_loss
from model.train.recipe import Recipe
from tests.unit.model import synthetic

pytestmark = pytest.mark.long

RECIPE = Recipe(hidden_size=8, epochs=4, batch_size=4, learning_rate=0.01, average_decay=0.9, folds=0)


def weights(model):
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def separation(model, examples):
    """Mean last logit of those who died minus that of those who lived."""
    last = step_logits(model, examples.stays)[step_starts(examples.stays)[1:] - 1]
    return float(last[examples.died].mean() - last[~examples.died].mean())


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_what_can_be_learnt_is_learnt(cell):
    examples, unseen = synthetic.learnable(), synthetic.learnable(seed=1)
    model = fit(replace(RECIPE, cell=cell, epochs=8), examples, unseen)
    assert separation(model, unseen) > 2
    assert not model.training


def test_the_same_seed_gives_the_same_model() -> None:
    examples = synthetic.learnable(40)
    first, second = (fit(replace(RECIPE, epochs=2, dropout=0.2), examples) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(fit(replace(RECIPE, epochs=2, seed=1), examples)))


class Interrupted(Exception):
    pass


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path):
    examples, unseen = synthetic.learnable(40), synthetic.learnable(40, seed=1)
    recipe = replace(RECIPE, dropout=0.2)
    told = []

    def cut_off(progress):
        told.append(progress.epoch)
        if progress.epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(recipe, examples, unseen, checkpoint=tmp_path / "model.pt", report=cut_off)
    resumed = fit(
        recipe,
        examples,
        unseen,
        checkpoint=tmp_path / "model.pt",
        report=lambda progress: told.append(progress.epoch),
    )
    assert told == [1, 2, 3, 4]
    assert torch.equal(weights(resumed), weights(fit(recipe, examples, unseen)))


def test_a_finished_run_is_not_run_again(tmp_path):
    examples = synthetic.learnable(40)
    first = fit(RECIPE, examples, checkpoint=tmp_path / "model.pt")
    told = []
    again = fit(RECIPE, examples, checkpoint=tmp_path / "model.pt", report=told.append)
    assert not told
    assert torch.equal(weights(first), weights(again))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    fit(RECIPE, synthetic.learnable(40), checkpoint=tmp_path / "model.pt")
    with pytest.raises(DatasetError, match="another recipe"):
        fit(replace(RECIPE, seed=1), synthetic.learnable(40), checkpoint=tmp_path / "model.pt")
    with pytest.raises(DatasetError, match="other data"):
        fit(RECIPE, synthetic.learnable(40, seed=1), checkpoint=tmp_path / "model.pt")
    with pytest.raises(DatasetError, match="other data"):
        fit(RECIPE, synthetic.learnable(40), synthetic.learnable(20), checkpoint=tmp_path / "model.pt")
    (tmp_path / "model.pt").write_bytes(b"nothing that torch wrote")
    with pytest.raises(DatasetError, match="damaged"):
        fit(RECIPE, synthetic.learnable(40), checkpoint=tmp_path / "model.pt")


def test_training_stops_when_the_validation_loss_does_not_fall() -> None:
    examples, unseen = synthetic.learnable(40), synthetic.learnable(40, seed=1)
    reversed_ = replace(unseen, died=~unseen.died)
    told = []
    model = fit(replace(RECIPE, epochs=20, patience=2), examples, reversed_, report=told.append)
    assert len(told) < 20
    losses = [progress.validation_loss for progress in told]
    assert losses[-3] == min(losses)
    assert mean_loss(model, RECIPE, reversed_) == pytest.approx(min(losses), rel=1e-5)


def test_targets_replace_the_outcome_by_their_weight() -> None:
    """Targets that say the opposite of the outcome turn the model around."""
    examples = synthetic.learnable()
    steps = np.diff(step_starts(examples.stays))
    opposite = replace(examples, targets=np.repeat(~examples.died, steps).astype(np.float32))
    assert separation(fit(replace(RECIPE, epochs=8, label_weight=1.0), opposite), examples) > 0.5
    assert separation(fit(replace(RECIPE, epochs=8, label_weight=0.0), opposite), examples) < -0.5


def test_hindsight_teaches_early_steps_what_is_known_at_the_end() -> None:
    """Targets that say the opposite but for the end of the stay, where they tell the outcome."""
    examples = synthetic.learnable()
    starts = step_starts(examples.stays)
    targets = np.repeat(~examples.died, np.diff(starts)).astype(np.float32)
    targets[starts[1:] - 1] = examples.died
    taught = replace(examples, targets=targets)
    recipe = replace(RECIPE, epochs=8, label_weight=0.0)
    assert separation(fit(replace(recipe, hindsight=1.0), taught), examples) > 0.5
    assert separation(fit(replace(recipe, hindsight=0.0), taught), examples) < -0.5


def test_padding_and_order_do_not_change_the_loss() -> None:
    examples = synthetic.learnable(40)
    model = fit(replace(RECIPE, epochs=1), examples)
    parts = [examples.select(np.array([patient])) for patient in range(40)]
    alone = np.mean([mean_loss(model, RECIPE, part) for part in parts])
    assert mean_loss(model, RECIPE, examples) == pytest.approx(alone, rel=1e-5)
