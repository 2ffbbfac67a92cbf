import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.drift.stability import FLOOR, LEAST, stability

SHARES = arrays(np.float64, st.tuples(st.integers(1, 10), st.integers(1, 4)), elements=st.floats(0, 1))


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float64)[:, None]


def test_it_is_what_the_formula_says() -> None:
    by_hand = 0.25 * math.log(0.75 / 0.5) - 0.25 * math.log(0.25 / 0.5)
    assert stability(column(0.5, 0.5), column(300, 100)) == pytest.approx([by_hand])
    assert by_hand == pytest.approx(0.2747, abs=1e-4)


def test_the_same_shares_are_no_drift_however_many_values() -> None:
    expected = column(0.2, 0.5, 0.3)
    assert stability(expected, 1000 * expected) == pytest.approx([0.0], abs=1e-12)
    assert stability(expected, 123.4 * 10 * expected) == pytest.approx([0.0], abs=1e-12)


def test_a_bin_that_is_new_or_empty_counts_for_much_but_not_without_end() -> None:
    vanished = stability(column(0.5, 0.5), column(1000, 0))[0]
    appeared = stability(column(1, 0), column(500, 500))[0]
    assert vanished == pytest.approx(appeared)
    assert vanished == pytest.approx(0.5 * math.log(2) + (0.5 - FLOOR) * math.log(0.5 / FLOOR))


def test_too_few_values_give_no_index() -> None:
    index = stability(np.full((2, 2), 0.5), np.array([[LEAST - 0.5, LEAST], [0, 0]]))
    assert np.isnan(index).tolist() == [True, False]


@given(SHARES, st.integers(0, 2**32))
@settings(deadline=None)
def test_it_is_never_negative_and_always_finite_where_there_is_enough(
    expected: np.ndarray, seed: int
) -> None:
    counts = np.random.default_rng(seed).integers(0, 200, expected.shape).astype(np.float64)
    index, enough = stability(expected, counts), counts.sum(axis=0) >= LEAST
    assert np.isfinite(index).tolist() == enough.tolist()
    assert (index[enough] >= 0).all()


@given(SHARES)
@settings(deadline=None)
def test_a_bin_that_is_empty_in_both_adds_nothing(expected: np.ndarray) -> None:
    counts = np.arange(expected.size, dtype=np.float64).reshape(expected.shape) + LEAST
    padding = np.zeros((3, expected.shape[1]))
    padded = stability(np.vstack([expected, padding]), np.vstack([counts, padding]))
    assert padded == pytest.approx(stability(expected, counts))


def test_chance_alone_stays_under_the_limits() -> None:
    """Ten bins, as few values as are told of: mean (B - 1) / n, seldom above 0.14."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(LEAST, [0.1] * 10, size=5000).T.astype(np.float64)
    index = stability(np.full(counts.shape, 0.1), counts)
    assert index.mean() == pytest.approx(9 / LEAST, rel=0.1)
    assert np.mean(index > 0.15) < 0.003
    assert index.max() < 0.25
