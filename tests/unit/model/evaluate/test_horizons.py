import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.datasets.stays import Outcomes
from model.errors import DatasetError
from model.evaluate.horizons import HORIZONS, evaluate, evaluate_offline, hours_since_first
from model.evaluate.offline import step_logits, step_risks
from tests.unit.model import synthetic


def outcomes(**died):
    return Outcomes(
        np.array([int(name[1:]) for name in died], dtype=np.int32),
        np.array(list(died.values()), dtype=np.bool_),
    )


def rows(*scores):
    patients, hours, risks = zip(*scores, strict=True)
    return np.array(patients, dtype=np.int64), np.array(hours, dtype=np.float64), np.array(risks)


def test_the_last_score_at_or_before_each_horizon_counts() -> None:
    scores = rows((1, 0, 0.9), (2, 0, 0.1), (1, 6, 0.2), (2, 6, 0.8), (1, 6.01, 0.9), (2, 30, 0.3))
    figures = evaluate(*scores, outcomes(p1=False, p2=True))
    assert [figures.at(hours).auroc for hours in (*HORIZONS, None)] == [1, 0, 0, 0, 0, 0]
    assert figures.at(6.0).brier == pytest.approx((0.2**2 + 0.2**2) / 2)
    assert figures.at(None).brier == pytest.approx((0.9**2 + 0.7**2) / 2)


def test_of_scores_at_the_same_hour_the_later_row_counts() -> None:
    figures = evaluate(*rows((1, 1, 0.2), (2, 1, 0.5), (1, 1, 0.9)), outcomes(p1=True, p2=False))
    assert figures.at(None).auroc == 1


def test_patients_are_counted_by_what_is_known_of_them() -> None:
    scores = rows((1, 0, 0.2), (2, 10, 0.8), (9, 0, 0.5), (8, 0, 0.5))
    figures = evaluate(*scores, outcomes(p1=False, p2=True, p3=True))
    assert (figures.scores, figures.patients, figures.unscored, figures.unknown) == (2, 2, 1, 2)
    assert [figures.at(hours).patients for hours in (6.0, 12.0, None)] == [1, 2, 2]
    assert figures.at(6.0).auroc is None
    assert figures.at(12.0).deaths == 1


def test_no_scored_patient_with_an_outcome_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no score is of a patient"):
        evaluate(*rows((1, 0, 0.5)), outcomes(p2=True))


@synthetic.PROPERTY
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_patients_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(10), 5)
    hours, risks = rng.permutation(50).astype(np.float64), rng.random(50)
    known = Outcomes(np.arange(10, dtype=np.int32), np.arange(10) % 2 == 0)
    order = rng.permutation(50)
    assert evaluate(patients, hours, risks, known) == evaluate(
        patients[order], hours[order], risks[order], known
    )


def test_hours_run_from_the_first_event() -> None:
    patients = np.array([2, 1, 2, 1])
    observed_at = np.array([7_200_000, 5, 3_600_000, 1_800_005])
    assert hours_since_first(patients, observed_at).tolist() == [1.0, 0.0, 0.0, 0.5]
    assert len(hours_since_first(np.array([], dtype=np.int64), np.array([], dtype=np.int64))) == 0


def test_offline_scores_are_those_of_single_steps() -> None:
    stays, model = synthetic.stays(), synthetic.model()
    risks = step_risks(model, stays)
    assert len(risks) == len(stays) + len(stays.minutes)
    at = 0
    for patient in range(len(stays)):
        rows_ = stays.rows(patient)
        values = np.concatenate((np.full((1, 37), np.nan, dtype=np.float32), stays.values[rows_]))
        minutes = np.diff(np.concatenate(([0], stays.minutes[rows_])), prepend=0)
        stepped = synthetic.stepped(
            model,
            *map(synthetic.tensor, (values[None], stays.statics[[patient]], (minutes / 60)[None])),
        )
        np.testing.assert_allclose(risks[at : at + len(values)], stepped[0], atol=1e-5)
        at += len(values)
    np.testing.assert_allclose(step_logits(model, stays, batch_size=3), step_logits(model, stays), atol=1e-4)


def test_figures_of_stays_are_those_of_their_scores() -> None:
    stays, model = synthetic.stays(), synthetic.model()
    died = np.arange(len(stays)) % 3 == 0
    figures = evaluate_offline(model, stays, Outcomes(stays.record_ids, died))
    assert (figures.patients, figures.unscored, figures.unknown) == (len(stays), 0, 0)
    assert figures.at(None).deaths == died.sum()
    assert all(0 < horizon.auroc < 1 for horizon in figures.horizons)
