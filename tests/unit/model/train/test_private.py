from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.cells import CELL_NAMES
from model.errors import RecipeError
from model.train import public
from model.train.distributed import ALONE
from model.train.fit import _loss, fit
from model.train.private import Privacy, PrivacyPlan, PrivateGradient, clipped, least_noise, spent
from model.train.recipe import Recipe
from model.variables import INDEX, STATIC_RANGES, VARIABLES
from tests.unit.model import synthetic

pytestmark = pytest.mark.long

RECIPE = Recipe(hidden_size=8, epochs=2, batch_size=10, learning_rate=0.02, average_decay=0.5, folds=0)
NOISELESS = PrivacyPlan(epsilon=8, delta=1e-3, clip=0.5, noise_multiplier=0, sample_rate=0.25, steps=8)
EXAMPLES, OTHERS = synthetic.learnable(40), synthetic.learnable(50, seed=1)


def norm(gradient):
    return float(torch.cat([part.flatten().double() for part in gradient]).norm())


def gradient_of(plan, model, patients=(), seed=0, population=40):
    """What `set` gives the parameters, times the expected size of a batch: the noisy sum."""
    made = PrivateGradient(
        plan,
        model,
        lambda patient: _loss(model, RECIPE, EXAMPLES, np.array([patient])),
        population,
        ALONE,
        np.random.default_rng(seed),
    )
    made.set(np.array(patients, dtype=np.int64))
    return [parameter.grad * plan.sample_rate * population for parameter in model.parameters()]


def model(cell="gru"):
    return synthetic.model(cell, hidden_size=8, wide_size=4).requires_grad_(True)


numbers = st.floats(-(2.0**100), 2.0**100, width=32)


@synthetic.PROPERTY
@given(st.lists(st.lists(numbers, min_size=1, max_size=5), min_size=1, max_size=4), st.floats(1e-3, 1e3))
def test_a_clipped_gradient_is_no_longer_than_the_clip(rows, clip):
    gradient = [torch.tensor(row) for row in rows]
    made = clipped(gradient, clip)
    assert norm(made) <= clip * (1 + 1e-6)
    if norm(gradient) <= clip:
        assert all(torch.equal(*pair) for pair in zip(made, gradient, strict=True))
    else:
        assert norm(made) == pytest.approx(clip, rel=1e-5)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_counts_nothing(odd):
    assert norm(clipped([torch.tensor([1.0, odd]), torch.tensor([2.0])], clip=1.0)) == 0


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_no_patient_moves_the_sum_by_more_than_the_clip(cell):
    """Neighbouring data sets: with and without one patient, the same sample and noise otherwise."""
    noisy, made = replace(NOISELESS, noise_multiplier=2.0), model(cell)
    everyone = np.arange(40)
    together = gradient_of(noisy, made, everyone)
    for patient in (0, 1, 7, 39):
        others = gradient_of(noisy, made, np.delete(everyone, patient))
        alone = gradient_of(NOISELESS, made, [patient])
        difference = [left - right for left, right in zip(together, others, strict=True)]
        assert norm(difference) <= NOISELESS.clip * (1 + 1e-4)
        assert norm(difference) == pytest.approx(norm(alone), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_unclipped_and_without_noise_it_is_the_gradient_of_the_batch(cell):
    made, patients = model(cell), np.array([3, 5, 8, 13])
    summed = gradient_of(replace(NOISELESS, clip=1e9), made, patients)
    batch = torch.autograd.grad(_loss(made, RECIPE, EXAMPLES, patients), list(made.parameters()))
    for one, other in zip(summed, batch, strict=True):
        torch.testing.assert_close(one / 4, other, rtol=1e-4, atol=1e-6)


def test_noise_is_of_the_plans_scale_in_every_parameter() -> None:
    noise = gradient_of(replace(NOISELESS, noise_multiplier=3.0), model())
    flat = torch.cat([part.flatten() for part in noise])
    assert len(flat) > 3000
    assert float(flat.std()) == pytest.approx(3.0 * NOISELESS.clip, rel=0.05)
    assert float(flat.mean()) == pytest.approx(0, abs=0.1)
    assert all(part.abs().min() > 0 for part in noise)


def test_every_patient_is_drawn_by_a_coin_of_its_own() -> None:
    plan = replace(NOISELESS, sample_rate=0.01)
    made = PrivateGradient(plan, model(), lambda _: torch.tensor(0.0), 5000, ALONE, np.random.default_rng(0))
    batches = made.batches(np.random.default_rng(0))
    sizes = np.array([len(batch) for batch in batches])
    assert len(batches) == 100
    assert sizes.mean() == pytest.approx(50, abs=3)
    assert sizes.std() == pytest.approx(np.sqrt(50 * 0.99), rel=0.3)
    assert all(len(np.unique(batch)) == len(batch) for batch in batches)


def test_more_noise_spends_less_and_more_steps_spend_more() -> None:
    epsilons = [spent(noise, 1e-5, 0.1, 100) for noise in (0.6, 1.0, 2.0, 5.0)]
    assert epsilons == sorted(epsilons, reverse=True)
    assert spent(1.0, 1e-5, 0.1, 200) > epsilons[1]
    assert spent(1.0, 1e-5, 0.2, 100) > epsilons[1]


def test_the_accountant_promises_what_the_paper_does() -> None:
    """Abadi et al., section 3.2: 100 epochs of q = 0.01 and sigma = 4 spend 1.26 at delta = 1e-5."""
    assert 0.8 < spent(4.0, 1e-5, 0.01, 10_000) <= 1.26


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 8.0, 50.0])
def test_the_noise_is_the_least_that_keeps_the_promise(epsilon):
    noise = least_noise(epsilon, 1e-4, 0.1, 200)
    assert 0.98 * epsilon < spent(noise, 1e-4, 0.1, 200) <= epsilon


def test_a_plan_counts_every_step() -> None:
    plan = Privacy(3.0).plan(replace(RECIPE, epochs=6), 40)
    assert (plan.batches, plan.steps, plan.sample_rate) == (4, 24, 0.25)
    assert plan.epsilon == spent(plan.noise_multiplier, plan.delta, 0.25, 24) <= 3
    assert plan.delta == pytest.approx(40**-1.1)
    assert plan.delta < 1 / 40
    assert Privacy(3.0).plan(replace(RECIPE, batch_size=400), 40).sample_rate == 1


@pytest.mark.parametrize(
    ("privacy", "recipe"),
    [
        (Privacy(8.0), replace(RECIPE, folds=5)),
        (Privacy(0.0), RECIPE),
        (Privacy(8.0, delta=1 / 40), RECIPE),
        (Privacy(8.0, delta=0.0), RECIPE),
        (Privacy(8.0, clip=0.0), RECIPE),
        (Privacy(1e-3, delta=1e-9), RECIPE),
    ],
    ids=["teacher", "no epsilon", "delta of one patient", "no delta", "no clip", "too small an epsilon"],
)
def test_what_cannot_be_kept_is_refused(privacy, recipe):
    with pytest.raises(RecipeError):
        privacy.plan(recipe, 40)


def test_a_teachers_targets_are_refused() -> None:
    taught = replace(EXAMPLES, targets=np.zeros(1, dtype=np.float32))
    with pytest.raises(RecipeError, match="teacher"):
        fit(RECIPE, taught, plan=NOISELESS)


def test_more_steps_than_planned_are_refused() -> None:
    with pytest.raises(RecipeError, match="planned"):
        fit(replace(RECIPE, epochs=3), EXAMPLES, plan=NOISELESS)


def test_what_is_not_learnt_with_noise_is_not_learnt() -> None:
    """Where the model starts, and the loss that is told, do not depend on the patients."""
    told, untrained = [], replace(RECIPE, epochs=0)
    fit(RECIPE, EXAMPLES, plan=NOISELESS, report=told.append)
    one, other = (fit(untrained, examples, plan=NOISELESS) for examples in (EXAMPLES, OTHERS))
    assert one.normalisation == other.normalisation == public.normalisation()
    assert one.head.bias.item() == other.head.bias.item() == pytest.approx(np.log(0.135 / 0.865))
    assert {progress.loss for progress in told} == {None}


class Interrupted(Exception):
    pass


def test_a_private_run_that_was_cut_off_goes_on(tmp_path):
    plan, told = Privacy(8.0).plan(RECIPE, 40), []

    def cut_off(progress):
        told.append(progress.epoch)
        raise Interrupted

    with pytest.raises(Interrupted):
        fit(RECIPE, EXAMPLES, plan=plan, checkpoint=tmp_path / "model.pt", report=cut_off)
    fit(
        RECIPE,
        EXAMPLES,
        plan=plan,
        checkpoint=tmp_path / "model.pt",
        report=lambda progress: told.append(progress.epoch),
    )
    assert told == [1, 2]


def test_public_constants_cover_every_variable_and_are_plausible() -> None:
    made = public.normalisation()
    assert set(made.mean) == set(made.std) == INDEX.keys() | {f"static.{name}" for name in STATIC_RANGES}
    assert all(spread > 0 for spread in made.std.values())
    for variable in VARIABLES:
        low, high = public.TYPICAL[variable.name]
        assert low < high <= variable.high
        assert high >= variable.low
