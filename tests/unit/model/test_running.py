import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model import running
from model.features import INPUT_SIZE, INPUT_SIZES, LIMIT
from tests.unit.model import synthetic

VARIABLES = INPUT_SIZES[0]


def drawn(rng, patients, events):
    """The columns of the cell's input that count: values (carried where not seen, 0 before) and seen."""
    inputs = torch.zeros(patients, events, INPUT_SIZE)
    inputs[..., :VARIABLES] = torch.from_numpy(rng.uniform(-LIMIT, LIMIT, (patients, events, VARIABLES)))
    inputs[..., VARIABLES : 2 * VARIABLES] = torch.from_numpy(rng.random((patients, events, VARIABLES)) < 0.3)
    inputs[:, 0, :VARIABLES] *= inputs[:, 0, VARIABLES : 2 * VARIABLES]
    for t in range(1, events):
        seen = inputs[:, t, VARIABLES : 2 * VARIABLES] > 0
        inputs[:, t, :VARIABLES] = torch.where(seen, inputs[:, t, :VARIABLES], inputs[:, t - 1, :VARIABLES])
    return inputs


def scanned(inputs):
    row = running.initial().repeat(len(inputs), 1)
    counts = torch.zeros(len(inputs), VARIABLES)
    columns = []
    for t in range(inputs.shape[1]):
        new = torch.empty_like(row)
        counts = counts + inputs[:, t, VARIABLES : 2 * VARIABLES]
        old = running.split_running(row)
        running.scan(old, running.split_running(new), inputs[:, t], counts, [len(inputs)])
        columns.append(running.columns(running.split_running(new), inputs[:, t], counts))
        row = new
    assert row.isfinite().all()
    return torch.stack(columns, dim=1)


@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(1, 4), events=st.integers(1, 40))
def test_scan_equals_sequence(seed, patients, events):
    inputs = drawn(np.random.default_rng(seed), patients, events)
    torch.testing.assert_close(scanned(inputs), running.sequence(inputs), rtol=0, atol=1e-5)


def test_columns_are_what_numpy_says() -> None:
    inputs = drawn(np.random.default_rng(0), 1, 6)
    columns = running.sequence(inputs)[0, -1].view(10, VARIABLES).numpy()
    measured = 0
    for variable in range(VARIABLES):
        seen = inputs[0, :, VARIABLES + variable] > 0
        values = inputs[0, seen, variable].double().numpy()
        if not len(values):
            assert not columns[:, variable].any()
            continue
        measured += 1
        last, count = values[-1] - values[0], np.log1p(len(values))
        beyond = (
            min(values.min() + running.USUAL, 0),
            min(values[-1] + running.USUAL, 0),
            max(values.max() - running.USUAL, 0),
            max(values[-1] - running.USUAL, 0),
        )
        expected = (values.min(), values.max(), values.mean(), last, values.std(), count, *beyond)
        assert columns[:, variable] == pytest.approx(expected, abs=1e-5)
    assert VARIABLES / 2 < measured < VARIABLES


def test_a_constant_has_no_spread_after_thousands_of_events() -> None:
    inputs = torch.zeros(1, 1, INPUT_SIZE)
    inputs[..., :VARIABLES], inputs[..., VARIABLES : 2 * VARIABLES] = 5.9, 1.0
    spread = scanned(inputs.expand(1, 2000, INPUT_SIZE))[0, -1, 4 * VARIABLES : 5 * VARIABLES]
    assert (spread == 0).all()
