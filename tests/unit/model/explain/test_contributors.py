"""What is said of a contributor is true of what was measured."""

import numpy as np
import pytest
import torch

from model.explain.contributors import contributors
from model.variables import INDEX, NAMES
from tests.unit.model import synthetic

MODEL = synthetic.model(wide_size=4)


def extreme(name, values):
    """What is said of the last of the values, which are the only ones, an hour apart."""
    given = torch.full((len(values), 1, len(NAMES)), torch.nan)
    given[:, 0, INDEX[name]] = torch.tensor(values)
    state = MODEL.admit(MODEL.initial_state()[None], torch.full((1, 5), torch.nan))
    for hour, value in enumerate(given[:-1]):
        state, _ = MODEL.step(state, value, torch.tensor([float(hour > 0)]), torch.tensor([float(hour)]))
    told = contributors(MODEL, state, given[-1], torch.ones(1), torch.tensor([len(values) - 1.0]))
    return int(told.extremes[0][told.variables[0] == INDEX[name]][0])


@pytest.mark.parametrize(("values", "said"), [([0, 1, 2], 1), ([2, 1, 0], -1), ([1, 2, 1.5], 0), ([1, 2], 0)])
def test_extremes_of_the_stay(values, said):
    mean, std = (float(getattr(MODEL.normalisation, of)["HR"]) for of in ("mean", "std"))
    assert extreme("HR", list(np.array(values) * std + mean)) == said


def test_nothing_is_said_where_the_model_does_not_tell_values_apart() -> None:
    mean, std = (float(getattr(MODEL.normalisation, of)["HR"]) for of in ("mean", "std"))
    assert extreme("HR", [mean, mean + 9 * std, mean + 7 * std]) == 0
