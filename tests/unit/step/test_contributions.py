"""What an explanation says of a vital sign is all of one value."""

from functools import partial

import numpy as np
import pytest

from model.explain.contributors import contributors
from model.variables import INDEX
from tests.support.events import Event, Ward, small_model

MODEL = small_model(wide=6)


def told(*log):
    """Variable → value and age, of the last event's contributors that have a value."""
    given = Ward(MODEL, explain=partial(contributors, MODEL)).feed(log)[-1].contributions
    last = np.argmax(given.rows)
    rows = zip(given.variables[last], given.values[last], given.ages[last], strict=True)
    return {int(variable): (value, age) for variable, value, age in rows if np.isfinite(value)}


@pytest.mark.parametrize(("name", "hidden"), [("RespRate", 0.0), ("HR", 0.0), ("MechVent", 0.0)])
def test_a_vital_sign_that_the_model_was_not_shown_is_no_contributor(name, hidden):
    usual = 1.0 if name == "MechVent" else 20.0
    before = Event("p", 0, {name: usual})
    assert told(before)[INDEX[name]] == pytest.approx((usual, 0))
    assert INDEX[name] not in told(before, Event("p", 30, {name: hidden}))
    back = told(before, Event("p", 30, {name: hidden}), Event("p", 60, {name: usual}))
    assert back[INDEX[name]] == pytest.approx((usual, 0))


def test_a_late_value_does_not_stand_for_a_newer_one_that_was_hidden() -> None:
    log = Event("p", 0, {"HR": 80}), Event("p", 30, {"RespRate": 0}), Event("p", 20, {"RespRate": 14})
    assert INDEX["RespRate"] not in told(*log)


def test_the_other_vital_signs_are_told_as_measured() -> None:
    found = told(Event("p", 0, {"HR": 80, "RespRate": 0.0, "Temp": 36.7}))
    assert found[INDEX["HR"]][0] == 80 and found[INDEX["Temp"]][0] == np.float32(36.7)
