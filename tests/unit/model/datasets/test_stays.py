from dataclasses import replace

import numpy as np
import pytest

from model.datasets.padding import ordered_batches, pad, shuffled_batches, step_hours, step_starts
from model.datasets.stays import Outcomes, drop_implausible
from model.errors import DatasetError
from model.variables import INDEX, STATICS, VARIABLES
from tests.unit.model import synthetic


def test_select_keeps_each_stay_whole() -> None:
    stays = synthetic.stays()
    chosen = np.array([7, 0, 3])
    selected = stays.select(chosen)
    assert selected.record_ids.tolist() == stays.record_ids[chosen].tolist()
    for place, patient in enumerate(chosen):
        np.testing.assert_array_equal(
            selected.minutes[selected.rows(place)], stays.minutes[stays.rows(patient)]
        )
        np.testing.assert_array_equal(
            selected.values[selected.rows(place)], stays.values[stays.rows(patient)]
        )


def test_values_on_a_bound_are_plausible_and_beyond_it_are_not() -> None:
    stays = synthetic.stays()
    low, high = np.array([variable.trained for variable in VARIABLES], dtype=np.float32).T
    for bound, beyond in ((low, np.float32(-np.inf)), (high, np.float32(np.inf))):
        inside = drop_implausible(replace(stays, values=np.tile(bound, (len(stays.values), 1))))
        assert np.isfinite(inside.values).all()
        outside = np.tile(np.nextafter(bound, beyond), (len(stays.values), 1))
        assert np.isnan(drop_implausible(replace(stays, values=outside)).values).all()


def test_raw_stays_are_left_as_they_are() -> None:
    stays = synthetic.stays()
    stays.values[0, INDEX["HR"]] = 0
    drop_implausible(stays)
    assert stays.values[0, INDEX["HR"]] == 0


def test_statics_that_mean_nothing_become_unknown() -> None:
    stays = synthetic.stays(patients=3)
    stays.statics[0] = (-1, -1, -1, -1, 5)
    stays.statics[1] = (90, 1, 100, 400, 4)
    stays.statics[2] = (15, 0, 1, 20, 1)
    cleaned = drop_implausible(stays).statics
    assert np.isnan(cleaned[0]).all()
    assert cleaned[1].tolist() == [90, 1, 100, 400, 4]
    assert np.isnan(cleaned[2]).tolist() == [name == "height" for name in STATICS]


def test_outcomes_follow_the_asked_order() -> None:
    outcomes = Outcomes(np.array([3, 1, 2], dtype=np.int32), np.array([True, False, False]))
    assert outcomes.of(np.array([1, 3], dtype=np.int32)).tolist() == [False, True]
    with pytest.raises(DatasetError, match="1 patients have no outcome"):
        outcomes.of(np.array([4], dtype=np.int32))


def test_steps_begin_with_the_admission() -> None:
    stays = synthetic.stays()
    starts, hours = step_starts(stays), step_hours(stays)
    assert len(hours) == starts[-1] == len(stays) + len(stays.minutes)
    batch = pad(stays, np.array([5, 0]))
    assert batch.valid.sum(dim=1).tolist() == np.diff(starts)[[5, 0]].tolist()
    assert batch.values[:, 0].isnan().all()
    np.testing.assert_allclose(batch.hours[0][batch.valid[0]], hours[starts[5] : starts[6]], atol=1e-5)
    np.testing.assert_allclose(
        batch.elapsed.cumsum(1)[0][batch.valid[0]], batch.hours[0][batch.valid[0]], atol=1e-5
    )
    assert (batch.elapsed >= 0).all()
    assert batch.elapsed[~batch.valid].sum() == 0


@pytest.mark.parametrize("size", [1, 7, 40, 100])
def test_batches_hold_every_patient_once(size):
    stays = synthetic.stays()
    for batches in (ordered_batches(stays, size), shuffled_batches(stays, size, np.random.default_rng(0))):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(stays)))
        assert all(len(batch) <= size for batch in batches)
