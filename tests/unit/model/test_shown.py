import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.shown import shown
from model.variables import INDEX, NAMES, VARIABLES


def row(**values: float) -> np.ndarray:
    return np.array([[values.get(name, np.nan) for name in NAMES]], np.float32)


def test_what_no_model_learnt_from_is_not_shown_to_one() -> None:
    values = row(HR=0, RespRate=0, Temp=46.5, TroponinI=500, SaO2=97, SysABP=12, MechVent=0)
    found, outside = shown(values)
    np.testing.assert_array_equal(found, row(SaO2=97))
    assert outside == 6
    assert values[0, INDEX["HR"]] == 0, "the given array is left as it is"
    ventilated = row(MechVent=1)
    assert shown(ventilated) == (ventilated, 0)


def test_of_many_rows_each_is_shown_as_alone() -> None:
    random = np.random.default_rng(0)
    for count in (0, 1, 255, 256, 257, 600):
        values = random.uniform(-10, 1000, (count, len(NAMES))).astype(np.float32)
        values[random.random(values.shape) < 0.5] = np.nan
        found, outside = shown(values)
        alone = [shown(values[row : row + 1]) for row in range(count)]
        np.testing.assert_array_equal(found, np.concatenate([values[:0], *(one for one, _ in alone)]))
        assert outside == sum(number for _, number in alone)


def test_values_inside_are_not_copied() -> None:
    for bound in np.array([variable.trained for variable in VARIABLES]).T:
        values = bound[None].astype(np.float32)
        assert shown(values)[0] is values
    nothing = row()
    assert shown(nothing)[0] is nothing


@given(arrays(np.float32, (3, len(NAMES)), elements=st.floats(-10, 1000, width=32) | st.just(float("nan"))))
def test_each_value_is_shown_as_if_it_were_alone(values):
    found, outside = shown(values)
    expected, count = np.full_like(values, np.nan), 0
    for place, value in np.ndenumerate(values):
        low, high = np.array(VARIABLES[place[1]].trained, np.float32)
        if low <= value <= high:
            expected[place] = value
        elif not np.isnan(value):
            count += 1
    np.testing.assert_array_equal(found, expected)
    assert outside == count
