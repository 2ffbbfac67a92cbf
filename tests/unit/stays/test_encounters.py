"""Small logs of the kind that a ward sends daily, in every order in which they may arrive."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from stream.columns.events import Kind, hashed
from tests.support.events import EXPIRE_AFTER_MS, Event, Still, Ward, small_model

HOUR = 60
STATICS = (63.0, 1.0, 170.0, 80.0, 3.0)


def admitted(at: float, encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.ADMISSION, STATICS, encounter=encounter)


def seen(at: float, encounter: str = "", **values: float) -> Event:
    return Event("a", round(at * HOUR), values or {"HR": 80.0}, encounter=encounter)


def discharged(at: float, encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.DISCHARGE, encounter=encounter)


def analysed(at: float, encounter: str = "LAB-9") -> Event:
    """A laboratory's result, of a visit that it numbers itself."""
    return Event("a", round(at * HOUR), {"Lactate": 2.0}, encounter=encounter)


def moved(at: float, unit: str = "", bed: str = "", encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.TRANSFER, encounter=encounter, unit=unit, bed=bed)


def cancelled(at: float, encounter: str = "") -> Event:
    return Event("a", round(at * HOUR), {}, Kind.CANCELLATION, encounter=encounter)


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


LABORATORY = [
    [analysed(1.1), admitted(1, "v2"), seen(1.2, "v2"), moved(1.3, "icu", "", "v2"), discharged(2, "v2")],
    [analysed(1.1), seen(1.2, "v2"), moved(1.3, "icu", "", "v2"), discharged(2, "v2")],
    [admitted(1, "v2"), seen(1.2, "v2"), moved(1.3, "icu"), discharged(2, "v2"), analysed(2.5)],
]


@pytest.mark.parametrize("log", LABORATORY)
def test_the_visit_number_of_a_laboratory_ends_begins_and_refuses_nothing(log: list[Event]) -> None:
    for order in permutations(log):
        ward = Ward(Still())
        ward.risks(order)
        stay = ward.stay("a")
        assert not ward.refused
        assert stay["encounter"] == hashed("v2")
        assert stay["unit"] == hashed("icu")
        assert stay["closed_at"] == discharged(2).at


def test_a_cancellation_reopens_whatever_a_laboratory_says_after_the_discharge() -> None:
    stay = ended(admitted(0, "v2"), seen(1), discharged(2, "v2"), analysed(2.5), cancelled(2, "v2"))
    assert stay["closed_at"] == 0
    assert stay["events"] == 3


def test_the_stay_has_the_number_of_a_laboratory_until_something_better_names_it() -> None:
    assert ended(analysed(1))["encounter"] == hashed("LAB-9")
    assert ended(analysed(1), seen(2, "v2"), analysed(3))["encounter"] == hashed("v2")


def test_whoever_is_measured_after_the_grace_of_a_late_discharge_is_here() -> None:
    late = [seen(0), admitted(-30, "v1"), discharged(-25, "v1"), seen(0.1)]
    for log in (late, sorted(late, key=lambda event: event.minute)):
        stay = ended(*log)
        assert stay["closed_at"] == stay["encounter"] == 0
        assert stay["expires_at"] == seen(0.1).at + EXPIRE_AFTER_MS


def test_the_grace_is_one_of_the_patients_own_time() -> None:
    """The partition was ahead by ten hours when the discharge came."""
    stay = ended(seen(0), Event("b", 10 * HOUR), discharged(0.5), seen(13))
    assert stay["closed_at"] == 0
    assert stay["events"] == 1


def test_a_stay_without_an_admission_begins_with_its_earliest_event() -> None:
    log = [seen(12), seen(1), discharged(10, "v1"), admitted(0, "v1"), seen(13)]
    told = ("closed_at", "encounter", "vitals", "measured_at")
    expected = ended(*sorted(log, key=lambda event: event.minute))
    assert ended(*log)[list(told)] == expected[list(told)]


def test_a_cancellation_counts_before_it_is_known_that_the_stay_had_begun() -> None:
    assert ended(seen(12), cancelled(10, "v1"), admitted(0, "v1"), discharged(10, "v1"))["closed_at"] == 0
    assert ended(seen(12), cancelled(10), discharged(9), seen(13))["closed_at"] == 0


def arrested(at: float, encounter: str = "") -> Event:
    return seen(at, encounter, HR=0.0, RespRate=0.0)


def heart_rate(stay: np.void) -> float:
    """NaN if it is not known."""
    return float(stay["vitals"][0]) if stay["measured_at"][0] else np.nan


@pytest.mark.parametrize(
    "log",
    [
        [admitted(0, "v1"), seen(1), discharged(10, "v1"), arrested(20, "v2"), admitted(22, "v2")],
        [arrested(1), discharged(-1), admitted(39, "v1")],
    ],
)
def test_an_admission_leaves_what_was_measured_at_the_bed_of_this_stay(log: list[Event]) -> None:
    assert heart_rate(ended(*log)) == 0


@pytest.mark.parametrize(
    "log",
    [
        [seen(10), analysed(10.1, "v0"), seen(10.2), discharged(1, "v0")],
        [admitted(0, "v1"), seen(1), admitted(6), seen(6.1), analysed(6.2, "v1"), discharged(1, "v1")],
        [discharged(1), seen(1.2), cancelled(1)],
        [moved(0.5, "icu", "", "v1"), seen(2.6), admitted(2.5, "v2"), discharged(2, "v1"), seen(2.7)],
        [admitted(0, "v1"), seen(1), discharged(2, "v1"), cancelled(1.5), admitted(1.8, "v2"), seen(2.5)],
        [admitted(0, "v1"), discharged(5, "v2"), seen(90), admitted(4, "v2")],
        [admitted(0, "v1"), seen(182), admitted(81, "v2"), discharged(82, "v2")],
        [admitted(1, "v1"), discharged(7, "v2"), cancelled(7, "v2"), admitted(4, "v2"), seen(7.5)],
    ],
)
def test_whoever_lies_here_is_not_closed(log: list[Event]) -> None:
    assert ended(*log)["closed_at"] == 0


def test_values_that_a_laboratory_names_as_it_named_others_are_of_their_own_time() -> None:
    log = [admitted(0, "v1"), seen(1), discharged(2, "v1"), admitted(6), analysed(6.1), seen(6.2)]
    late = Event("a", 90, {"SaO2": 70.0, "Lactate": 9.0}, encounter="LAB-9")
    ward = Ward(Still())
    ward.risks([*log, late])
    assert list(ward.refused) == [len(log)]


def test_whoever_was_measured_since_a_late_discharge_keeps_what_was_measured() -> None:
    stay = ended(admitted(0, "v1"), seen(1), seen(15), arrested(15.1), discharged(2, "v1"))
    assert stay["closed_at"] == stay["encounter"] == 0
    assert heart_rate(stay) == 0
    assert stay["events"] == 4


MOVES = [
    [moved(0, "ward", "1"), moved(7, "", "4"), moved(6, "icu")],
    [moved(5, "", "4"), moved(0, "icu")],
    [moved(0, "ward", "1"), moved(3, "", "2"), moved(6, "icu"), moved(8, "icu"), moved(9, "", "5")],
    [moved(0, "ward", "1"), moved(3, "ward"), moved(6, "icu")],
]


@pytest.mark.parametrize("log", MOVES)
def test_unit_and_bed_are_the_last_in_any_order(log: list[Event]) -> None:
    """Another unit is another bed, of which nothing is known yet."""
    expected = ended(seen(0), *sorted(log, key=lambda event: event.minute))[["unit", "bed"]]
    for order in permutations(log):
        assert ended(seen(0), *order)[["unit", "bed"]] == expected
