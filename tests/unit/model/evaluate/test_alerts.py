import numpy as np
import pytest

from model.datasets.stays import Outcomes
from model.evaluate.alerts import alert_burden, lead_time
from model.evaluate.labelled_scores import LabelledScores

HOURS = np.array([0, 12, 24, 0, 24, 48, 0, 24, 0, 12], dtype=float)
PATIENTS = np.repeat([1, 2, 3, 4], [3, 3, 2, 2])
"""Over 24, 48, 24 and 12 h: 4.5 patient-days."""
OUTCOMES = Outcomes(np.array([1, 2, 3, 4], dtype=np.int32), np.array([True, True, False, False]))
SCORES = LabelledScores.of(PATIENTS, HOURS, np.full(10, 0.5), OUTCOMES)


def alerts(*rows):
    return np.isin(np.arange(10), rows)


def test_what_alerts_cost_and_give_by_hand():
    found = alert_burden(SCORES, alerts(1, 2, 6), resamples=50)
    assert found.alerts == 3
    assert found.a_day.value == pytest.approx(3 / 4.5)
    assert (found.patients.value, found.sensitivity.value, found.ppv.value) == (0.5, 0.5, 0.5)


def test_no_alert_finds_nobody():
    found = alert_burden(SCORES, alerts(), resamples=50)
    assert (found.alerts, found.a_day.value, found.sensitivity.value, found.ppv.value) == (0, 0, 0, None)
    early = lead_time(SCORES, alerts(), resamples=50)
    assert (early.patients, early.deaths, early.median.value, early.quartiles) == (0, 2, None, None)
    assert set(early.by_hour.y) == {0}


def test_lead_time_runs_from_the_first_alert_of_those_who_died():
    found = lead_time(SCORES, alerts(1, 2, 3, 5, 6), resamples=50)
    assert (found.patients, found.deaths) == (2, 2)
    assert found.median.value == pytest.approx((12 + 48) / 2)
    assert {hours: share.value for hours, share in found.early.items()} == {6: 1, 12: 1, 24: 0.5, 36: 0.5}
    by_hour = dict(zip(found.by_hour.x, found.by_hour.y, strict=True))
    assert (by_hour[0], by_hour[12], by_hour[13], by_hour[48]) == (1, 1, 0.5, 0.5)
    assert max(by_hour) == 48


def test_the_median_is_numpys() -> None:
    hours = np.random.default_rng(0).uniform(1, 40, 31)
    record_ids = np.arange(31, dtype=np.int32)
    labelled = LabelledScores.of(
        np.repeat(record_ids, 2).astype(np.int64),
        np.stack([np.zeros(31), hours], axis=1).ravel(),
        np.zeros(62),
        Outcomes(record_ids, np.ones(31, dtype=bool)),
    )
    found = lead_time(labelled, np.tile([True, False], 31), resamples=200)
    assert found.median.value == pytest.approx(np.median(hours))
    assert found.median.low < found.median.value < found.median.high
    assert found.quartiles == pytest.approx(tuple(np.quantile(hours, [0.25, 0.75])))
