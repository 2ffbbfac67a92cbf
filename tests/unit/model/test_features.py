import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.features import INPUT_SIZES, LIMIT, Features, Normalisation, split_memory
from model.variables import INDEX, NAMES, STATICS
from tests.unit.model import synthetic


@pytest.fixture(scope="module")
def features():
    return Features(synthetic.normalisation())


def step_through(features, values, statics, elapsed):
    memory = features.initial().repeat(len(values), 1)
    split_memory(memory).statics.copy_(features.encode(statics))
    inputs = []
    hours = synthetic.since_first(elapsed)
    for t in range(values.shape[1]):
        new = torch.empty_like(memory)
        inputs.append(
            features.scan(
                split_memory(memory),
                split_memory(new),
                values[:, t],
                elapsed[:, t],
                hours[:, t],
                [len(values)],
            )
        )
        memory = new
    return torch.stack(inputs, dim=1), memory


@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(1, 5), events=st.integers(1, 30))
def test_step_equals_sequence(seed, patients, events):
    rng = np.random.default_rng(seed)
    features = Features(synthetic.normalisation())
    values = synthetic.values(rng, patients, events, measured=rng.random())
    statics, elapsed = synthetic.statics(rng, patients), synthetic.elapsed(rng, patients, events)
    stepped, memory = step_through(features, values, statics, elapsed)
    torch.testing.assert_close(stepped, features.sequence(values, statics, elapsed), rtol=0, atol=1e-5)
    assert memory.isfinite().all()


@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 19))
def test_nothing_from_the_future(seed, cut):
    rng = np.random.default_rng(seed)
    features = Features(synthetic.normalisation())
    statics, elapsed = synthetic.statics(rng, 3), synthetic.elapsed(rng, 3, 20)
    values, other = synthetic.values(rng, 3, 20), synthetic.values(rng, 3, 20)
    other[:, :cut] = values[:, :cut]
    before = features.sequence(values, statics, elapsed)[:, :cut]
    assert torch.equal(before, features.sequence(other, statics, elapsed)[:, :cut])


def one_patient(features, events, gaps):
    values = torch.full((1, len(events), len(NAMES)), torch.nan)
    for t, event in enumerate(events):
        for name, value in event.items():
            values[0, t, INDEX[name]] = value
    statics = torch.full((1, len(STATICS)), torch.nan)
    inputs, memory = step_through(features, values, statics, torch.tensor([gaps]))
    return inputs[0].split(INPUT_SIZES, dim=1), split_memory(memory)


def test_columns_mean_what_they_say(features):
    columns, memory = one_patient(features, [{}, {"HR": 90.0}, {"Temp": 38.0}], [0.0, 1.0, 0.5])
    carried, seen, age, _, admission, previous = columns
    hr, temp, ph = INDEX["HR"], INDEX["Temp"], INDEX["pH"]
    assert seen[:, hr].tolist() == [0, 1, 0]
    assert carried[0, hr] == pytest.approx(0, abs=1e-5)
    assert carried[2, hr] == carried[1, hr] != 0
    assert age[:, hr].expm1().tolist() == pytest.approx([0, 0, 0.5])
    assert age[:, ph].expm1().tolist() == pytest.approx([0, 1, 1.5])
    assert admission[:, 0].expm1().tolist() == pytest.approx([0, 1, 1.5])
    assert previous[:, 0].expm1().tolist() == pytest.approx([0, 1, 0.5])
    assert memory.counts[0, [hr, temp, ph]].tolist() == [1, 1, 0]
    assert memory.carried[0, hr] == 90


def test_extreme_values_are_clipped_for_the_cell_and_kept_in_memory(features):
    columns, memory = one_patient(features, [{"HR": 1e6}], [0.0])
    assert columns[0][0, INDEX["HR"]] == LIMIT
    assert memory.carried[0, INDEX["HR"]] == 1e6


def test_encoded_statics(features):
    nan = float("nan")
    encoded = features.encode(torch.tensor([[nan, 1.0, 170.0, nan, 3.0], [nan] * 5]))
    assert encoded[0, [0, 2]].tolist() == [0, 0]
    assert encoded[0, 1] != 0
    assert encoded[0, 3:].tolist() == [1, 0, 1, 0, 1, 0, 0, 1, 0]
    assert encoded[1].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_decoded_statics_are_what_was_encoded(features):
    nan = float("nan")
    statics = torch.tensor([[71.0, 1.0, 170.0, 80.5, 3.0], [nan] * 5, [nan, 0.0, 160.0, nan, 1.0]])
    decoded = features.decode(features.encode(statics))
    torch.testing.assert_close(decoded, statics, rtol=0, atol=1e-3, equal_nan=True)


def test_fit_ignores_what_is_missing_and_survives_what_never_varies() -> None:
    values = np.full((4, len(NAMES)), np.nan, dtype=np.float32)
    values[:2, INDEX["HR"]] = (80, 100)
    values[:, INDEX["MechVent"]] = 1
    values[:2, INDEX["Urine"]] = np.expm1((2, 4))
    fitted = Normalisation.fit(values, np.full((1, len(STATICS)), np.nan, dtype=np.float32))
    assert (fitted.mean["HR"], fitted.std["HR"]) == (90, 10)
    assert (fitted.mean["MechVent"], fitted.std["MechVent"]) == (1, 1)
    assert fitted.mean["Urine"] == pytest.approx(3, abs=1e-5)
    assert (fitted.mean["pH"], fitted.std["static.age"]) == (0, 1)
