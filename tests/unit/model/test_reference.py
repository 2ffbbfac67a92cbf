import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from model.reference import BINS, LEAST_IN_BIN, RISK_EDGES, Histogram, Reference
from model.variables import INDEX, NAMES
from tests.unit.model import synthetic

FINITE = st.floats(-1e6, 1e6, width=32) | st.integers(0, 5)
VALUES = arrays(np.float32, st.integers(1, 1500), elements=FINITE)


def reference(events=4000, seed=0):
    rng = np.random.default_rng(seed)
    return Reference.fit(synthetic.values(rng, events).numpy(), rng.random(500, dtype=np.float32))


def placed(histogram, values):
    """Share of values in each bin, one by one."""
    counts = np.zeros(len(histogram.shares))
    for value in values:
        counts[sum(value >= np.float32(edge) for edge in histogram.edges)] += 1
    return counts / len(values)


def test_bins_are_deciles_where_values_differ() -> None:
    values = np.random.default_rng(0).normal(80, 10, 10_000).astype(np.float32)
    histogram = Histogram.by_quantiles(values)
    assert histogram.shares == pytest.approx([0.1] * 10, abs=1e-3)
    assert histogram.edges == pytest.approx(np.quantile(values, np.arange(1, 10) / 10), abs=0.02)


@pytest.mark.parametrize(
    ("values", "edges", "shares"),
    [
        ([1] * 1000, (), (1.0,)),
        ([], (), (1.0,)),
        ([15] * 900 + [3] * 100, (9.0,), (0.1, 0.9)),
        ([0.4] * 600 + [0.5] * 300 + [1.0] * 100, (0.45, 0.75), (0.6, 0.3, 0.1)),
        ([7] * (LEAST_IN_BIN + 5) + [8] * (LEAST_IN_BIN - 6), (), (1.0,)),
    ],
    ids=["constant", "never", "two", "few", "rare"],
)
def test_equal_values_share_a_bin(values, edges, shares):
    histogram = Histogram.by_quantiles(np.array(values, np.float32))
    assert (histogram.edges, histogram.shares) == (pytest.approx(edges), pytest.approx(shares))


@synthetic.PROPERTY
@given(VALUES)
def test_every_value_is_in_one_bin_and_no_bin_is_empty(values):
    histogram = Histogram.by_quantiles(values)
    assert len(histogram.shares) <= BINS
    assert len(histogram.shares) == 1 or len(values) >= 2 * LEAST_IN_BIN
    assert histogram.shares == pytest.approx(placed(histogram, values), abs=1e-6)
    assert min(histogram.shares) > 0


def test_other_rounding_moves_no_value_to_another_bin() -> None:
    """Degrees to a tenth, as they were charted, and as they come out of Fahrenheit."""
    charted = np.random.default_rng(0).integers(350, 400, 5000) / 10
    fahrenheit = np.round(charted * 1.8 + 32, 1)
    converted = ((fahrenheit - 32) / 1.8).astype(np.float32)
    histogram = Histogram.by_quantiles(charted.astype(np.float32))
    assert placed(histogram, converted) == pytest.approx(histogram.shares, abs=1e-6)


def test_a_reference_holds_values_rates_and_risks() -> None:
    values = np.full((1000, len(NAMES)), np.nan, np.float32)
    values[:250, INDEX["HR"]] = np.arange(250)
    made = Reference.fit(values, np.array([0.0, 0.15, 0.15, 1.0], np.float32))
    assert made.measured["HR"] == 0.25
    assert made.measured["Temp"] == 0
    assert made.values["HR"].edges == (49.5, 99.5, 149.5, 199.5)
    assert made.values["Temp"] == Histogram(edges=(), shares=(1.0,))
    assert made.risk.edges == RISK_EDGES
    assert made.risk.shares == (0.25, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.25)


def test_it_is_the_same_after_json() -> None:
    made = reference()
    assert Reference.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("edges", "shares"),
    [
        ((1.0, 1.0), (0.2, 0.3, 0.5)),
        ((2.0, 1.0), (0.2, 0.3, 0.5)),
        ((1.0,), (1.0,)),
        ((1.0,), (0.5, 0.4)),
        ((1.0,), (1.5, -0.5)),
        ((float("nan"),), (0.5, 0.5)),
    ],
)
def test_a_histogram_that_is_none_is_refused(edges, shares):
    with pytest.raises(ValidationError):
        Histogram(edges=edges, shares=shares)


def test_a_reference_of_other_variables_is_refused() -> None:
    made = reference(events=100)
    for part in ("values", "measured"):
        content = made.model_dump()
        content[part]["Pulse"] = content[part].pop("HR")
        with pytest.raises(ValidationError, match=r"model\.variables"):
            Reference.model_validate(content)
