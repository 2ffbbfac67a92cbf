"""The policy: hysteresis, refractory time, and one answer however the scores arrive."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alert.policy import AlertState, Policy, decide, step
from tests.support.examples import tries

PROPERTY = settings(max_examples=tries(150), deadline=None)
RISKS = st.sampled_from([0.0, 0.1, 0.39, 0.4, 0.41, 0.49, 0.5, 0.51, 0.9, 1.0, math.nan])
POLICIES = st.builds(
    Policy, st.just(0.5), st.sampled_from([0.5, 0.8, 1.0]), st.sampled_from([0.0, 1.0, 2.5, 8.0])
)
POLICY = Policy(0.5, clear_ratio=0.8, refractory_hours=8)


@st.composite
def logs(draw):
    """Patients, hours, risks, warm: patients alternate; now and then an event is late."""
    rows = draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4), RISKS, st.integers(0, 3)), max_size=40)
    )
    patients = np.array([row[0] for row in rows], dtype=np.int64)
    hours = np.cumsum([row[1] for row in rows]) / 2
    risks = np.array([row[2] for row in rows], dtype=np.float32)
    return patients, np.asarray(hours, dtype=np.float64), risks, np.array([row[3] > 0 for row in rows], bool)


def of_one(hours, risks, policy=POLICY, warm=None):
    """Rows that raise and rows that clear, of one patient."""
    warm = np.ones(len(risks), bool) if warm is None else np.array(warm)
    found = decide(
        policy, np.zeros(len(risks), np.int64), np.array(hours, dtype=np.float64), np.array(risks), warm
    )
    return np.flatnonzero(found.raised).tolist(), np.flatnonzero(found.cleared).tolist()


def test_an_alert_stays_on_until_the_risk_is_well_below_the_threshold() -> None:
    assert of_one([0, 10, 20, 30, 40], [0.5, 0.6, 0.45, 0.39, 0.6]) == ([0, 4], [3])


def test_a_patient_rests_after_a_raise_and_is_raised_when_the_rest_ends() -> None:
    assert of_one([0, 1, 2, 7.9, 8, 9], [0.6, 0.1, 0.7, 0.7, 0.7, 0.7]) == ([0, 4], [1])


def test_a_cold_score_raises_nothing_and_clears() -> None:
    assert of_one([0, 1, 2], [0.9, 0.9, 0.9], warm=[False, False, True]) == ([2], [])
    assert of_one([0, 1], [0.9, 0.1], warm=[True, False]) == ([0], [1])


def test_what_is_not_known_neither_raises_nor_clears() -> None:
    assert of_one([0, 1, 20, 21], [math.nan, 0.9, math.nan, 0.9]) == ([1], [])


def test_no_scores_no_decisions() -> None:
    empty = np.zeros(0)
    assert [len(column) for column in decide(POLICY, empty.astype(np.int64), empty, empty, empty > 0)] == [
        0,
        0,
    ]


@PROPERTY
@given(log=logs(), policy=POLICIES)
def test_event_by_event_is_the_whole_column(log, policy):
    patients, hours, risks, warm = log
    whole = decide(policy, patients, hours, risks, warm)
    states = {patient: AlertState.quiet(1) for patient in patients.tolist()}
    for row, patient in enumerate(patients.tolist()):
        one = slice(row, row + 1)
        states[patient], found = step(policy, states[patient], hours[one], risks[one], warm[one])
        assert (found.raised[0], found.cleared[0]) == (whole.raised[row], whole.cleared[row])


@PROPERTY
@given(log=logs(), policy=POLICIES)
def test_a_patient_is_decided_as_if_alone(log, policy):
    patients, hours, risks, warm = log
    whole = decide(policy, patients, hours, risks, warm)
    for patient in np.unique(patients):
        own = patients == patient
        alone = decide(policy, patients[own], hours[own], risks[own], warm[own])
        np.testing.assert_array_equal(alone, [column[own] for column in whole])


@PROPERTY
@given(log=logs(), policy=POLICIES)
def test_raises_are_warm_high_apart_and_each_ends_before_the_next(log, policy):
    patients, hours, risks, warm = log
    found = decide(policy, patients, hours, risks, warm)
    assert warm[found.raised].all() and (risks[found.raised] >= policy.threshold).all()
    assert (risks[found.cleared] < policy.clear_ratio * policy.threshold).all()
    for patient in np.unique(patients):
        rows = np.flatnonzero((patients == patient) & (found.raised | found.cleared))
        assert found.raised[rows].tolist() == [place % 2 == 0 for place in range(len(rows))]
        assert (np.diff(hours[rows[found.raised[rows]]]) >= policy.refractory_hours).all()


@PROPERTY
@given(log=logs())
def test_without_rest_and_hysteresis_a_raise_is_a_crossing(log):
    patients, hours, risks, _ = log
    hours, risks = np.maximum.accumulate(hours) if len(hours) else hours, np.nan_to_num(risks)
    found = decide(Policy(0.5, 1.0, 0.0), patients, hours, risks, np.ones(len(risks), bool))
    for patient in np.unique(patients):
        own = patients == patient
        high = risks[own] >= 0.5
        crossings = high & ~np.concatenate(([False], high[:-1]))
        assert found.raised[own].tolist() == crossings.tolist()


@pytest.mark.parametrize("wrong", [(0.0,), (1.1,), (0.5, 0.0), (0.5, 1.2), (0.5, 0.8, -1.0), (math.nan,)])
def test_a_policy_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="must be in"):
        Policy(*wrong)


def test_a_policy_says_what_it_does() -> None:
    said = str(Policy(0.5, 0.8, 6))
    for figure in ("of 0.5 or more", "below 0.4", "in 6 h"):
        assert figure in said
