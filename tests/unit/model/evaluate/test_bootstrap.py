import numpy as np
import pytest
from scipy.stats import norm

from model.evaluate.bootstrap import Estimate, estimates
from model.evaluate.metrics import measure
from tests.unit.model.evaluate.made import calibrated


def mean_of(values):
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    (found,) = estimates(mean_of(values), 400, resamples=4000)
    half = norm.ppf(0.975) * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_the_interval_of_an_auroc_covers_the_truth() -> None:
    """150 samples of risks whose AUROC is known: Φ(1/√2) for normals one apart."""
    truth, covered = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        died = np.arange(200) < 60
        risks = norm.cdf(rng.normal(np.where(died, 1.0, 0.0)))
        found = measure(risks, died, resamples=200).auroc
        covered += found.low <= truth <= found.high
    assert 0.89 <= covered / 150 <= 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(50)
    one, same, other = (estimates(mean_of(values), 50, resamples=100, seed=seed)[0] for seed in (1, 1, 2))
    assert one == same != other


def test_a_resample_draws_as_many_patients_as_there_are() -> None:
    drawn = []
    estimates(lambda weights: drawn.append(weights) or weights[:, :1], 1000, resamples=450)
    weights = np.concatenate(drawn[1:])
    assert weights.shape == (450, 1000)
    assert (weights.sum(axis=1) == 1000).all()
    assert weights.std() == pytest.approx(1, abs=0.05)


def test_resamples_without_the_figure_are_left_out() -> None:
    def first(weights):
        return np.where(weights[:, :1] > 0, weights[:, :1] * 0 + 7, np.nan)

    assert estimates(first, 3, resamples=50) == [Estimate(7, 7, 7)]
    never = estimates(lambda weights: weights[:, :1] * np.nan, 3, resamples=50)
    assert never == [Estimate(None, None, None)]
    (alone,) = estimates(
        lambda weights: np.where((weights == 1).all(axis=1), 7.0, np.nan)[:, None], 9, resamples=5
    )
    assert alone == Estimate(7, None, None)


def test_misses_that_grow_by_resampling_are_centred() -> None:
    risks, died = calibrated(2000)
    ece = measure(risks, died, resamples=300).ece
    assert 0 <= ece.low <= ece.value <= ece.high
