import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.cells import CELL_NAMES
from model.risk_model import Calibration
from model.variables import INDEX, NAMES
from tests.unit.model import synthetic

MODELS = {cell: synthetic.model(cell) for cell in CELL_NAMES} | {
    f"{cell}, wide": synthetic.model(cell, wide_size=32) for cell in ("gru", "lstm")
}


@pytest.mark.parametrize("cell", MODELS)
@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(1, 4), events=st.integers(1, 25))
def test_stream_equals_offline(cell, seed, patients, events):
    rng = np.random.default_rng(seed)
    model = MODELS[cell]
    values, statics = synthetic.values(rng, patients, events), synthetic.statics(rng, patients)
    elapsed = synthetic.elapsed(rng, patients, events)
    offline = model.risk(model(values, statics, elapsed), synthetic.since_first(elapsed))
    streamed = synthetic.stepped(model, values, statics, elapsed)
    torch.testing.assert_close(streamed, offline, rtol=0, atol=1e-5)
    assert ((streamed >= 0) & (streamed <= 1)).all()


def test_a_month_of_events_stays_equal() -> None:
    rng = np.random.default_rng(1)
    values, statics = synthetic.values(rng, 2, 1000), synthetic.statics(rng, 2)
    elapsed = synthetic.elapsed(rng, 2, 1000)
    model = MODELS["gru, wide"]
    offline = model.risk(model(values, statics, elapsed), synthetic.since_first(elapsed))
    torch.testing.assert_close(synthetic.stepped(model, values, statics, elapsed), offline, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seconds", [20, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.long
def test_two_days_of_frequent_events_stay_equal(seconds):
    rng = np.random.default_rng(8)
    events = 2 * 24 * 3600 // seconds
    values, statics = torch.full((1, events, len(NAMES)), torch.nan), synthetic.statics(rng, 1)
    values[0, ::7, INDEX["HR"]] = 90.0
    elapsed = torch.full((1, events), seconds / 3600)
    model = MODELS["gru"]
    with torch.inference_mode():
        offline = model.risk(model(values, statics, elapsed), synthetic.since_first(elapsed))
    streamed = synthetic.stepped(model, values, statics, elapsed)
    torch.testing.assert_close(streamed, offline, rtol=0, atol=1e-5)


def test_inputs_move_the_risk() -> None:
    """Guards the equalities above: models that ignore their input would pass them."""
    rng = np.random.default_rng(2)
    values, statics = synthetic.values(rng, 50, 10), synthetic.statics(rng, 50)
    for cell, model in MODELS.items():
        elapsed = synthetic.elapsed(rng, 50, 10)
        risks = model.risk(model(values, statics, elapsed), synthetic.since_first(elapsed))
        assert risks[:, -1].std() > 0.02, cell


def test_padding_at_the_end_is_harmless() -> None:
    rng = np.random.default_rng(3)
    values, statics = synthetic.values(rng, 3, 12), synthetic.statics(rng, 3)
    elapsed = synthetic.elapsed(rng, 3, 12)
    padded = torch.cat((values, torch.full((3, 5, len(NAMES)), torch.nan)), dim=1)
    gaps = torch.cat((elapsed, torch.zeros(3, 5)), dim=1)
    for model in MODELS.values():
        torch.testing.assert_close(model(padded, statics, gaps)[:, :12], model(values, statics, elapsed))


@pytest.mark.parametrize("cell", MODELS)
@pytest.mark.parametrize("batch", [1, 511, 512, 513, 1200])
def test_batches_are_independent_and_leave_their_input_alone(cell, batch):
    rng = np.random.default_rng(4)
    model = MODELS[cell]
    with torch.inference_mode():
        state = model.admit(model.initial_state().repeat(batch, 1), synthetic.statics(rng, batch))
        state, _ = model.step(state, synthetic.values(rng, batch), torch.zeros(batch), torch.zeros(batch))
        values, gaps = synthetic.values(rng, batch), torch.from_numpy(rng.random(batch, dtype=np.float32))
        kept = state.clone()
        new, risk = model.step(state, values, gaps, gaps)
        assert torch.equal(state, kept)
        one = batch // 2
        only = slice(one, one + 1)
        row, alone = model.step(state[only], values[only], gaps[only], gaps[only])
        torch.testing.assert_close(new[one : one + 1], row, rtol=0, atol=1e-5)
        torch.testing.assert_close(risk[one : one + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", MODELS)
@synthetic.PROPERTY
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda sizes: sorted(sizes, reverse=True)),
)
def test_a_scan_of_waves_equals_step_after_step(cell, seed, sizes):
    rng = np.random.default_rng(seed)
    model, patients = MODELS[cell], sizes[0]
    state = model.admit(model.initial_state().repeat(patients, 1), synthetic.statics(rng, patients))
    values = synthetic.values(rng, sum(sizes), 1)[:, 0]
    elapsed = synthetic.elapsed(rng, sum(sizes), 1)[:, 0]
    hours = elapsed + 3
    rows, risks = model.scan(state, values, elapsed, hours, sizes)
    start = 0
    for size in sizes:
        wave = slice(start, start + size)
        state, risk = model.step(state[:size], values[wave], elapsed[wave], hours[wave])
        torch.testing.assert_close(rows[wave], state, rtol=0, atol=1e-5)
        torch.testing.assert_close(risks[wave], risk, rtol=0, atol=1e-5)
        start += size


def test_rows_are_small() -> None:
    assert 4 * MODELS["gru"].state_size <= 1024
    assert 4 * MODELS["gru, wide"].state_size <= 1536
    for model in MODELS.values():
        state = model.initial_state()
        assert state.shape == (model.state_size,)
        assert state.dtype == torch.float32
        assert state.isfinite().all()


def test_admission_sets_the_statics_of_its_row_only() -> None:
    rng = np.random.default_rng(5)
    model = MODELS["gru, wide"]
    state = model.initial_state().repeat(2, 1)
    admitted = model.admit(state, synthetic.statics(rng, 2, known=1.0))
    assert (admitted != state).sum() >= 8
    assert not torch.equal(admitted[0], admitted[1])
    assert torch.equal(state[0], model.initial_state())


def test_an_admission_changes_no_static_that_it_does_not_tell() -> None:
    model = MODELS["gru, wide"]
    given = synthetic.statics(np.random.default_rng(5), 2, known=1.0)
    state = model.initial_state().repeat(2, 1)
    admitted = model.admit(state, given)
    unknown = torch.full((2, 5), torch.nan)
    assert torch.equal(model.admit(admitted, unknown), admitted)
    part, rest = given.clone(), given.clone()
    part[:, 2:], rest[:, :2] = torch.nan, torch.nan
    assert torch.equal(model.admit(model.admit(state, part), rest), admitted)


def test_a_late_value_replaces_none_that_was_measured_after_it() -> None:
    """What is carried, its time, its count and its statistics stay those without the late event."""
    model, nan = MODELS["gru, wide"], float("nan")
    columns = [INDEX["HR"], INDEX["Temp"]]

    def event(*measured):
        values = torch.full((1, len(NAMES)), nan)
        values[0, columns] = torch.tensor(measured)
        return values

    zero, half, one = torch.zeros(1), torch.full((1,), 0.5), torch.ones(1)
    state, _ = model.step(model.initial_state()[None], event(91.0, nan), one, one)
    late, _ = model.scan(state, event(140.0, 38.0), zero, one, [1], half)
    without, _ = model.scan(state, event(nan, 38.0), zero, one, [1], half)
    torch.testing.assert_close(late, without, rtol=0, atol=0)
    memory = model.memory(late)
    assert memory.carried[0, columns].tolist() == [91.0, 38.0]
    assert memory.measured_at[0, columns].tolist() == [1.0, 0.5]


def test_calibration_changes_the_risk_not_the_order() -> None:
    rng = np.random.default_rng(6)
    model = synthetic.model()
    logits = torch.from_numpy(rng.normal(size=50).astype(np.float32))
    at = torch.full_like(logits, 24.0)
    model.calibrate(Calibration(1.0, 0.0, 1.0, 0.0))
    torch.testing.assert_close(model.risk(logits, at), torch.sigmoid(logits))
    model.calibrate(Calibration(0.5, -1.0, 1.5, 0.0))
    torch.testing.assert_close(model.risk(logits, 0 * at), torch.sigmoid(0.5 * logits - 1.0))
    torch.testing.assert_close(model.risk(logits, at), torch.sigmoid(logits - 0.5))
    for late in (2 * at, 9 * at):
        torch.testing.assert_close(model.risk(logits, late), torch.sigmoid(1.5 * logits))


@pytest.mark.parametrize("cell", MODELS)
def test_a_step_never_waits_for_the_device(cell):
    """Meta tensors have no values: whatever reads one (`item`, `bool`, a mask as index) fails."""
    model = copy.deepcopy(MODELS[cell]).to("meta")
    state = torch.empty(3, model.state_size, device="meta")
    with torch.inference_mode():
        admitted = model.admit(state, torch.empty(3, 5, device="meta"))
        clock = torch.empty(3, device="meta")
        new, risk = model.step(admitted, torch.empty(3, len(NAMES), device="meta"), clock, clock)
        late, _ = model.scan(new, torch.empty(3, len(NAMES), device="meta"), clock, clock, [3], clock)
    assert late.shape == new.shape
    assert (new.shape, risk.shape) == (state.shape, (3,))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cell", MODELS)
def test_cuda_gives_the_scores_of_the_cpu(cell):
    rng = np.random.default_rng(7)
    values, statics = synthetic.values(rng, 600, 5), synthetic.statics(rng, 600)
    elapsed = synthetic.elapsed(rng, 600, 5)
    here = synthetic.stepped(MODELS[cell], values, statics, elapsed)
    there = synthetic.stepped(
        copy.deepcopy(MODELS[cell]).cuda(), *(tensor.cuda() for tensor in (values, statics, elapsed))
    )
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-5)
