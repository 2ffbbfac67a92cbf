import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.explain.attribution import attribute
from model.explain.deletion import random_others, top, without
from model.variables import INDEX, NAMES
from tests.unit.model import synthetic

MODELS = [synthetic.model("gru", wide_size=32), synthetic.model("lstm"), synthetic.model("gru-d")]


def course(model, rng, patients=6, events=8):
    """Rows before the last event, and that event."""
    values, gaps = synthetic.values(rng, patients, events), synthetic.elapsed(rng, patients, events)
    hours = synthetic.since_first(gaps)
    state = model.admit(model.initial_state().repeat(patients, 1), synthetic.statics(rng, patients))
    for t in range(events - 1):
        state, _ = model.step(state, values[:, t], gaps[:, t], hours[:, t])
    return state, values[:, -1], gaps[:, -1], hours[:, -1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1))
def test_effects_add_up_to_what_knowing_the_variables_changes(model, seed):
    with torch.inference_mode():
        event = course(model, np.random.default_rng(seed))
        given_ = attribute(model, *event)
    total = given_.effects.sum(dim=1)
    scale = given_.effects.abs().sum(dim=1)
    assert ((total - given_.difference).abs() <= 0.03 * scale + 1e-3).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_difference_is_that_of_two_steps(model):
    event = course(model, np.random.default_rng(0))
    everything = torch.ones(len(event[0]), len(NAMES), dtype=torch.bool)
    nothing = torch.zeros_like(everything)
    expected = without(model, *event, nothing) - without(model, *event, everything)
    torch.testing.assert_close(attribute(model, *event).difference.double(), expected, rtol=0, atol=1e-4)


def test_what_was_never_measured_has_no_effect() -> None:
    model = MODELS[0]
    values = torch.full((1, len(NAMES)), torch.nan)
    values[0, INDEX["HR"]] = 150.0
    clock = torch.zeros(1)
    effects = attribute(model, model.initial_state()[None], values, clock, clock).effects[0]
    assert effects[INDEX["HR"]] != 0
    assert (effects.abs() > 1e-5).sum() == 1


def test_named_variables_matter_more_than_others() -> None:
    model, rng = MODELS[0], np.random.default_rng(3)
    event = course(model, rng, patients=200)
    named = top(attribute(model, *event).effects, 3)
    assert (named.sum(dim=1) == 3).all()
    counts = model.memory(model.step(*event)[0]).counts.numpy()
    others = random_others(counts > 0, named.numpy(), rng)
    assert not (others & named).any()
    assert (others.sum(dim=1) == 3).all()
    assert (counts[others.numpy()] > 0).all()
    kept = without(model, *event, torch.zeros_like(named))
    moved, moved_by_others = (
        (without(model, *event, removed) - kept).abs().mean() for removed in (named, others)
    )
    assert moved > 2 * moved_by_others
