import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from model.evaluate.curves import calibration, net_benefit, precision, roc
from tests.unit.model.evaluate.made import calibrated


def test_roc_by_hand() -> None:
    curve = roc(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.25], at[0.5], at[0.75], at[1.0]) == (0.5, 1.0, 1.0, 1.0)


def test_the_area_under_the_roc_is_the_auroc() -> None:
    risks, died = calibrated()
    curve = roc(risks, died)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(roc_auc_score(died, risks), abs=0.003)


def test_precision_by_hand() -> None:
    curve = precision(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.25], at[0.5]) == (1.0, 1.0)
    assert at[0.75] == at[1.0] == pytest.approx(2 / 3, abs=1e-4)


def test_calibration_bins_hold_all_patients_by_rising_risk() -> None:
    risks, died = calibrated(1003)
    bins = calibration(risks, died)
    assert sum(one.patients for one in bins) == 1003
    assert sum(one.deaths for one in bins) == died.sum()
    assert {one.patients for one in bins} <= {100, 101}
    means = [one.mean_risk for one in bins]
    assert means == sorted(means) and len(means) == 10


def test_equal_risks_share_a_bin() -> None:
    bins = calibration(np.array([0.1] * 12 + [0.9] * 8), np.arange(20) >= 11)
    assert [(one.patients, one.deaths) for one in bins] == [(12, 1), (8, 8)]
    assert calibration(np.zeros(0), np.zeros(0, dtype=bool)) == ()


@pytest.mark.parametrize(("deaths", "patients"), [(0, 20), (3, 20), (20, 20)])
def test_the_interval_of_a_share_is_wilsons(deaths, patients):
    (one,) = calibration(np.full(patients, 0.3), np.arange(patients) < deaths)
    wilson = binomtest(deaths, patients).proportion_ci(method="wilson")
    assert one.death_rate.value == deaths / patients
    assert (one.death_rate.low, one.death_rate.high) == pytest.approx(tuple(wilson), abs=1e-9)


def test_net_benefit_by_hand() -> None:
    """At 0.2 a needless action costs a quarter: two rightly flagged, one not, of five."""
    found = net_benefit(
        np.array([0.9, 0.5, 0.2, 0.1, 0.05]), np.array([True, False, True, False, False]), resamples=20
    )
    at = {one.threshold: one for one in found}
    assert at[0.2].model.value == pytest.approx(2 / 5 - 1 / 5 * 0.25)
    assert at[0.2].treat_all == pytest.approx(2 / 5 - 3 / 5 * 0.25)
    assert at[0.6].model.value == pytest.approx(1 / 5)


def test_acting_on_calibrated_risks_is_worth_most() -> None:
    for one in net_benefit(*calibrated(20000), resamples=20):
        assert one.model.value >= max(one.treat_all, 0) - 0.002


def test_acting_on_everybody_is_acting_on_a_risk_of_one() -> None:
    _, died = calibrated(200)
    for one in net_benefit(np.ones(200), died, resamples=5):
        assert one.model.value == pytest.approx(one.treat_all)
