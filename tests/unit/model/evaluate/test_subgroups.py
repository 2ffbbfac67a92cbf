import numpy as np
import pytest

from model.datasets.stays import Statics
from model.evaluate.subgroups import NOT_RECORDED, SMALLEST, subgroups
from tests.unit.model.evaluate.made import calibrated, statics

RECORDS = np.arange(400)
RISKS, DIED = calibrated(400)


def found(known, risks=RISKS, died=DIED):
    return {
        (group.of, group.name): group.metrics
        for group in subgroups(RECORDS[: len(risks)], risks, died, known, resamples=5)
    }


def test_every_patient_is_in_one_group_of_each_kind() -> None:
    groups = found(statics(RECORDS))
    assert {of for of, _ in groups} == {"age", "sex", "unit"}
    for of in ("age", "sex", "unit"):
        members = [metrics for (kind, _), metrics in groups.items() if kind == of]
        assert sum(one.patients for one in members) == 400
        assert sum(one.deaths for one in members) == DIED.sum()


@pytest.mark.parametrize(
    ("age", "band"), [(18, "under 45"), (44.5, "under 45"), (45, "45–64"), (65, "65–79"), (80, "80 and over")]
)
def test_bands_begin_at_their_first_year(age, band):
    values = np.full((400, 5), np.nan, np.float32)
    values[:, 0] = age
    groups = found(Statics(RECORDS.astype(np.int32), values))
    assert [name for of, name in groups if of == "age"] == [band]


def test_figures_are_those_of_the_members() -> None:
    known = statics(RECORDS)
    women = known.values[:, 1] == 0
    metrics = found(known)["sex", "female"]
    assert metrics.patients == women.sum()
    assert metrics.mean_risk.value == pytest.approx(RISKS[women].mean())
    assert metrics.death_rate.value == pytest.approx(DIED[women].mean())


def test_who_is_not_known_is_not_recorded() -> None:
    half = statics(RECORDS[:200])
    assert found(half)["age", NOT_RECORDED].patients == 200


def test_a_group_so_small_that_it_points_at_somebody_is_left_out() -> None:
    values = np.full((SMALLEST + 9, 5), np.nan, np.float32)
    values[:, 1] = np.arange(len(values)) < SMALLEST
    groups = found(
        Statics(RECORDS[: len(values)].astype(np.int32), values), RISKS[: len(values)], DIED[: len(values)]
    )
    assert [name for of, name in groups if of == "sex"] == ["male"]
