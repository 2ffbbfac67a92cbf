import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from model.evaluate.metrics import FIGURES, best_threshold, measure
from tests.unit.model import synthetic
from tests.unit.model.evaluate.made import calibrated


def value(name, risks, died, threshold=None):
    found = measure(np.array(risks, dtype=float), np.array(died, dtype=bool), threshold, resamples=2)
    return getattr(found, name).value


@st.composite
def patients(draw):
    """Risks with many ties, and deaths, at least one of either outcome."""
    risks = draw(st.lists(st.integers(0, 12), min_size=2, max_size=60))
    died = draw(st.lists(st.booleans(), min_size=len(risks), max_size=len(risks)))
    died[0], died[-1] = True, False
    return np.array(risks) / 12, np.array(died)


@synthetic.PROPERTY
@given(patients())
def test_they_are_those_of_scikit_learn(made):
    risks, died = made
    assert value("auroc", risks, died) == pytest.approx(roc_auc_score(died, risks))
    assert value("auprc", risks, died) == pytest.approx(average_precision_score(died, risks))
    assert value("brier", risks, died) == pytest.approx(brier_score_loss(died, risks))


@synthetic.PROPERTY
@given(patients())
def test_ranking_is_the_same_under_every_monotone_map(made):
    risks, died = made
    for name in ("auroc", "auprc", "event1_best"):
        assert value(name, risks**3 / 2 + 0.1, died) == pytest.approx(value(name, risks, died))


@synthetic.PROPERTY
@given(patients(), st.randoms())
def test_the_order_of_patients_changes_nothing(made, random):
    risks, died = made
    order = np.array(random.sample(range(len(risks)), len(risks)))
    for name in FIGURES:
        assert value(name, risks[order], died[order], 0.5) == pytest.approx(value(name, risks, died, 0.5))


@synthetic.PROPERTY
@given(patients(), st.integers(0, 13))
def test_event_1_is_the_lesser_of_sensitivity_and_positive_predictive_value(made, twelfths):
    risks, died = made
    threshold = twelfths / 12
    flagged = risks >= threshold
    lesser = min((flagged & died).sum() / died.sum(), (flagged & died).sum() / max(flagged.sum(), 1))
    assert value("event1", risks, died, threshold) == pytest.approx(lesser)
    assert value("event1_best", risks, died) >= lesser - 1e-12
    best = best_threshold(risks, died)
    assert value("event1", risks, died, best) == pytest.approx(value("event1_best", risks, died))


def test_event_1_by_hand() -> None:
    risks, died = [0.9, 0.8, 0.7, 0.2, 0.1], [1, 0, 1, 1, 0]
    assert value("event1", risks, died, 0.75) == pytest.approx(1 / 3)
    assert value("event1", risks, died, 0.7) == pytest.approx(2 / 3)
    assert value("event1", risks, died) is None
    assert value("event1_best", risks, died) == pytest.approx(3 / 4)
    assert best_threshold(np.array(risks), np.array(died, dtype=bool)) == 0.2


def test_event_2_by_hand() -> None:
    """Ten deciles of ten patients of risks 0.05, 0.1, … 0.5; as many die as foretold, but for one decile."""
    means = np.arange(1, 11) / 20
    deaths = np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    died = np.concatenate([np.arange(10) < count for count in deaths])
    expected = np.sum((deaths - 10 * means) ** 2 / (10 * means * (1 - means) + 0.001)) / (0.5 - 0.05)
    assert value("event2", np.repeat(means, 10), died) == pytest.approx(expected)


def test_what_comes_as_foretold_is_calibrated() -> None:
    """Bins of 20 of which exactly the foretold share dies."""
    risks = np.repeat(np.arange(1, 11) / 20, 20)
    died = np.concatenate([np.arange(20) < count for count in range(1, 11)])
    assert value("event2", risks, died) == pytest.approx(0, abs=1e-9)
    assert value("ece", risks, died) == pytest.approx(0, abs=1e-9)
    assert value("ece", risks + 0.1, died) == pytest.approx(0.1)


def test_h_of_calibrated_risks_is_that_of_chance() -> None:
    """H of external risks is chi-squared with 10 degrees of freedom: 10 on average."""
    found = []
    for seed in range(100):
        risks, died = calibrated(2000, seed)
        means = [part.mean() for part in np.array_split(np.sort(risks), 10)]
        found.append(value("event2", risks, died) * (means[-1] - means[0]))
    assert np.mean(found) == pytest.approx(10, abs=1.5)


def test_ece_by_hand() -> None:
    """Two patients a bin."""
    risks, died = np.arange(20) / 20, np.arange(20) >= 10
    by_bin = np.abs(risks.reshape(10, 2).mean(axis=1) - (np.arange(10) >= 5))
    assert value("ece", risks, died) == pytest.approx(by_bin.mean())


def test_one_risk_for_all_ranks_nothing_and_is_believed() -> None:
    risks, died = np.full(50, 0.2), np.arange(50) < 10
    assert value("auroc", risks, died) == pytest.approx(0.5)
    assert value("ece", risks, died) == pytest.approx(0, abs=1e-9)
    assert value("event2", risks, died) is None


@pytest.mark.parametrize("died", [False, True])
def test_where_all_fared_alike_there_is_nothing_to_rank(died):
    found = measure(np.array([0.1, 0.5, 0.9]), np.full(3, died), 0.5, resamples=10)
    assert found.auroc.value is found.auroc.low is None
    assert found.brier.value is not None
    assert (found.event1_best.value is None) is not died
    assert best_threshold(np.array([0.1, 0.5]), np.full(2, died)) == (0.1 if died else None)


def test_nobody_has_no_figures() -> None:
    found = measure(np.zeros(0), np.zeros(0, dtype=bool), 0.5)
    assert (found.patients, found.deaths) == (0, 0)
    assert all(getattr(found, name).value is None for name in FIGURES)


def test_figures_lie_in_their_intervals() -> None:
    found = measure(*calibrated(600), 0.3, resamples=200)
    for name in FIGURES:
        figure = getattr(found, name)
        assert figure.low <= figure.value <= figure.high, name
        assert figure.low < figure.high
