import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.cells import CELL_NAMES, make_cell
from model.features import INPUT_SIZE
from tests.unit.model import synthetic


def inputs(generator, patients, events):
    """Random inputs; the `seen` columns hold 0 or 1 and the ages are not negative, as GRU-D expects."""
    drawn = torch.randn(patients, events, INPUT_SIZE, generator=generator)
    drawn[..., 37:74] = (drawn[..., 37:74] > 0).float()
    drawn[..., 74:111].abs_()
    drawn[..., -2:].abs_()
    return drawn


@pytest.mark.parametrize("name", CELL_NAMES)
@synthetic.PROPERTY
@given(
    seed=st.integers(0, 2**31),
    patients=st.integers(1, 4),
    events=st.integers(1, 20),
    hidden=st.sampled_from([1, 7, 64]),
)
def test_steps_equal_the_whole_sequence(name, seed, patients, events, hidden):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    cell = make_cell(name, INPUT_SIZE, hidden)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    sequence = inputs(generator, patients, events)
    state = torch.zeros(patients, cell.state_size)
    with torch.no_grad():
        whole = cell(sequence)
        for t in range(events):
            state = cell.step(sequence[:, t], state)
            torch.testing.assert_close(state[:, :hidden], whole[:, t], rtol=0, atol=1e-5)


def test_rnn_is_the_formula_in_its_docstring() -> None:
    cell = make_cell("rnn", 3, 2)
    x, h = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[0.3, -0.1]])
    w_xh, w_hh, b_xh, b_hh = cell.rnn.all_weights[0]
    expected = torch.tanh(w_hh @ h[0] + w_xh @ x[0] + b_xh + b_hh)
    torch.testing.assert_close(cell.step(x, h)[0], expected)


def test_gru_d_forgets_what_it_does_not_see() -> None:
    cell = make_cell("gru-d", INPUT_SIZE, 4)
    with torch.no_grad():
        cell.value_decay[0].fill_(1.0)
        fresh, old = torch.zeros(2, INPUT_SIZE)
        fresh[0] = old[0] = 2.0
        fresh[74], old[74] = 0.0, 3.0
        decayed, _ = cell._decay(torch.stack((fresh, old)))
    assert decayed[0, 0] == 2.0
    assert decayed[1, 0] == pytest.approx(2.0 * 2.718281828**-3)


def test_every_cell_learns() -> None:
    torch.manual_seed(0)
    for name in CELL_NAMES:
        cell = make_cell(name, INPUT_SIZE, 8)
        cell(inputs(torch.Generator().manual_seed(1), 2, 5)).square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in cell.parameters()), name
        assert all(p.grad.abs().sum() > 0 for p in cell.parameters()), name


def test_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="one of rnn, lstm, gru, gru-d"):
        make_cell("transformer", 3, 2)
