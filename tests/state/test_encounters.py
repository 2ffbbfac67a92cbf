"""Small logs of the kind that a ward sends daily, in every order in which they may arrive."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from stream.records import Kind
from tests.events import EXPIRE_AFTER_MS, Event, Still, Ward, small_model

HOUR = 60
STATICS = (63.0, 1.0, 170.0, 80.0, 3.0)


def admitted(at: float, encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.ADMISSION, STATICS, encounter=encounter)


def seen(at: float, encounter: str = "", **values: float) -> Event:
    return Event("a", round(at * HOUR), values or {"HR": 80.0}, encounter=encounter)


def discharged(at: float, encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.DISCHARGE, encounter=encounter)


def ended(*log: Event) -> np.void:
    ward = Ward(Still())
    ward.risks(log)
    return ward.stay("a")


@pytest.mark.parametrize(("first", "second", "leaves"), [("", "", 2), ("v1", "v2", 2), ("v1", "v2", 10)])
def test_a_discharge_of_one_stay_does_not_close_the_next(first: str, second: str, leaves: float) -> None:
    """At the moment of the next admission or, as two clocks may say, hours after it."""
    log = [admitted(0, first), seen(1), discharged(leaves, first), admitted(2, second), seen(3)]
    assert ended(*log)["closed_at"] == 0


def test_an_admission_at_the_moment_of_the_discharge_begins_the_next_stay() -> None:
    """No admission of the first was seen: times of day to the minute are common."""
    stay = ended(seen(0), seen(10), discharged(10), admitted(10, "v2"), seen(11, "v2"))
    assert stay["closed_at"] == 0
    assert stay["events"] == 2


def test_the_discharge_of_the_next_stay_may_come_before_its_admission() -> None:
    early = ended(admitted(0, "v1"), seen(1), discharged(9, "v2"), admitted(2, "v2"), seen(3))
    late = ended(admitted(0, "v1"), seen(1), admitted(2, "v2"), seen(3), discharged(9, "v2"))
    assert early["closed_at"] == late["closed_at"] == discharged(9).at


def test_a_stay_that_no_admission_began_ends_with_its_discharge_in_any_order() -> None:
    log = [seen(1, "v1"), seen(1.5, "v1", RespRate=20.0), discharged(2, "v1"), seen(3, "v1", SaO2=97.0)]
    told = ("closed_at", "encounter", "vitals", "measured_at")
    expected = [ended(*log)[name].tolist() for name in told]
    for order in permutations(log):
        assert [ended(*order)[name].tolist() for name in told] == expected


def test_an_admission_that_is_sent_again_after_the_discharge_reopens_nothing() -> None:
    before = ended(admitted(0, "v1"), seen(1), discharged(2, "v1"))
    after = ended(admitted(0, "v1"), seen(1), discharged(2, "v1"), admitted(5, "v1"))
    assert after["closed_at"] == before["closed_at"] > 0
    assert after["expires_at"] == before["expires_at"]


def test_an_admission_dated_long_before_the_first_values_keeps_its_place_and_its_statics() -> None:
    """The stay's clock begins with the values: it is not bent by the wrong date."""
    days = EXPIRE_AFTER_MS / 3_600_000 + 28
    model = small_model()
    others = Event("b", 0)
    wrong = Ward(model).risks([others, admitted(-days, "v1"), seen(0)])
    right = Ward(model).risks([others, admitted(0, "v1"), seen(0)])
    assert wrong[2] == pytest.approx(right[2], abs=1e-6)
    stay = ended(others, admitted(-days, "v1"), seen(0))
    assert stay["encounter"] == ended(admitted(0, "v1"))["encounter"]
    assert stay["started_at"] == stay["observed_at"] == seen(0).at
