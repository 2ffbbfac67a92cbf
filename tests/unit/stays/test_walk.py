"""The stays, held against the plain meaning of the events: any log, any cuts, any order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns.events import Code, Kind, hashed
from stream.stays.record import VITALS
from tests.support.events import Event, Still, Ward
from tests.support.examples import tries
from tests.support.stays import Patient, Truth

MODEL = Still()
EVENTS = st.builds(
    Event,
    patient=st.sampled_from(["a", "a", "b"]),
    minute=st.integers(0, 12) | st.integers(0, 3000) | st.sampled_from([6000, 9000, 30_000]),
    values=st.dictionaries(st.sampled_from(["HR", "SaO2", "Lactate"]), st.floats(4, 200), max_size=2),
    kind=st.sampled_from([*[Kind.OBSERVATION] * 3, *Kind]),
    id=st.sampled_from(["", "", *"uvwxyz"]),
    encounter=st.sampled_from(["", "", "e1", "e2"]),
    unit=st.sampled_from(["", "", "icu", "ward"]),
    bed=st.sampled_from(["", "", "1", "2"]),
)
LOGS = st.lists(EVENTS, max_size=30)
SHUFFLES = [100, pytest.param(1000, marks=pytest.mark.slow)]
CUTS = st.lists(st.integers(1, 29), max_size=8)


def known(stay: np.void) -> dict[str, object]:
    """What `Patient` has, of a stay; the texts as hashes."""
    vitals = zip(VITALS, stay["measured_at"].tolist(), stay["vitals"].tolist(), strict=True)
    return {
        "started": stay["started_at"],
        "latest": stay["observed_at"],
        "expires": stay["expires_at"],
        "events": stay["events"],
        "admitted": stay["admitted_at"],
        "described": stay["described_at"],
        "closed": stay["closed_at"],
        "cancelled": stay["cancelled_at"],
        "floor": stay["floor"],
        "encounter": stay["encounter"],
        "unit": stay["unit"],
        "bed": stay["bed"],
        "earliest": stay["earliest_at"],
        "unit_at": stay["unit_at"],
        "bed_at": stay["bed_at"],
        "named": stay["named"],
        "vitals": {name: (at, value) for name, at, value in vitals if at},
    }


def meant(patient: Patient) -> dict[str, object]:
    texts = {name: hashed(getattr(patient, name)) for name in ("encounter", "unit", "bed")}
    return {
        name: value for name, value in vars(patient).items() if name not in ("recent", "left", "closed_of")
    } | texts


@given(LOGS, CUTS)
@settings(max_examples=tries(600), deadline=None)
def test_the_stays_are_what_the_events_mean_one_after_the_other(log: list[Event], cuts: list[int]) -> None:
    ward, truth = Ward(MODEL), Truth()
    said = [truth.take(event, event.id or f"offset {offset}") for offset, event in enumerate(log)]
    edges = [0, *sorted({cut for cut in cuts if cut < len(log)}), len(log)]
    found = {}
    for start, end in pairwise(edges):
        for scores in ward.feed(log[start:end]):
            columns = (scores.events.offsets, scores.counts, scores.late, scores.closed)
            found |= {row[0]: row[1:] for row in zip(*(one.tolist() for one in columns), strict=True)}
    refused = {offset: one.code for offset, one in enumerate(said) if one.code}
    assert ward.refused == refused
    scored = {offset: (one.count, one.late, one.closed) for offset, one in enumerate(said) if one.count}
    assert found == scored
    for name, patient in truth.patients.items():
        assert known(ward.stay(name)) == meant(patient)


STAY = [
    Event("a", 0, {"HR": 80.0}, Kind.ADMISSION, unit="icu"),
    *[Event("a", minute, {"HR": 80.0 + minute, "SaO2": 99.0 - minute / 10}) for minute in range(1, 15)],
    Event("a", 16, kind=Kind.TRANSFER, unit="ward", bed="4"),
    Event("a", 20, {"Temp": 39.0, "RespRate": 30.0}),
]
TOLD = ("admitted", "closed", "encounter", "unit", "bed", "vitals")


def after(log: list[Event], *cuts: int) -> dict[str, object]:
    ward = Ward(MODEL)
    ward.risks(log, *cuts)
    found = known(ward.stay("a"))
    return {name: found[name] for name in TOLD}


@pytest.mark.parametrize("examples", SHUFFLES)
def test_any_order_of_one_stay_ends_as_the_sorted_one(examples: int) -> None:
    expected = after(STAY)

    @given(st.permutations(STAY), st.sets(st.integers(1, len(STAY)), max_size=4))
    @settings(max_examples=tries(examples))
    def shuffled(log: list[Event], cuts: set[int]) -> None:
        assert after(log, *cuts) == expected

    shuffled()


def two_stays(encounters: bool) -> list[Event]:
    first, second = ("e1", "e2") if encounters else ("", "")
    return [
        Event("a", 0, {"HR": 80.0}, Kind.ADMISSION, encounter=first, unit="icu"),
        *[Event("a", minute, {"HR": 90.0, "Temp": 37.0}, encounter=first) for minute in (5, 10, 15)],
        Event("a", 20, kind=Kind.DISCHARGE, encounter=first),
        Event("a", 25, {"Lactate": 2.0, "SaO2": 98.0}, encounter=first),
        Event("a", 26, {"Lactate": 3.0}, encounter="LAB-1" if encounters else ""),
        Event("a", 40, {"HR": 120.0}, Kind.ADMISSION, encounter=second, unit="ward"),
        *[Event("a", minute, {"HR": 140.0, "GCS": 9.0}, encounter=second) for minute in (45, 46, 47)],
        Event("a", 50, {"Lactate": 4.0}, encounter="LAB-2" if encounters else ""),
        Event("a", 60, {"HR": 141.0}, encounter=second),
    ]


@pytest.mark.parametrize("examples", SHUFFLES)
@pytest.mark.parametrize("encounters", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_any_order_of_two_stays_ends_in_the_second(encounters: bool, ended: bool, examples: int) -> None:
    sorted_log = two_stays(encounters)
    if ended:
        sorted_log.append(Event("a", 70, kind=Kind.DISCHARGE, encounter=sorted_log[-1].encounter))
    expected = after(sorted_log)

    @given(st.permutations(sorted_log), st.sets(st.integers(1, len(sorted_log)), max_size=3))
    @settings(max_examples=tries(examples))
    def shuffled(log: list[Event], cuts: set[int]) -> None:
        assert after(log, *cuts) == expected

    shuffled()


def test_what_another_encounter_measured_does_not_date_a_stay_that_only_its_discharge_has_named() -> None:
    log = two_stays(True)
    laboratory = log.pop(5)
    discharge = Event("a", 70, kind=Kind.DISCHARGE, encounter="e2")
    shuffled = [laboratory, discharge, log.pop(2), log.pop(2), log.pop(2), log.pop(0), *log]
    assert after(shuffled) == after([*two_stays(True), discharge])


RESET = st.builds(
    Event,
    patient=st.just("a"),
    minute=st.integers(-50 * 365 * 1440, -8 * 1440),
    values=st.just({"HR": 20.0, "SaO2": 99.0}),
    kind=st.sampled_from(Kind),
    encounter=st.sampled_from(["", "e1", "e2", "e3"]),
    unit=st.sampled_from(["", "elsewhere"]),
    written=st.just(0),
)


@given(st.lists(st.tuples(st.integers(0, 11), RESET), min_size=1, max_size=6), CUTS, st.booleans())
@settings(max_examples=tries(200))
def test_what_a_reset_clock_dates_long_ago_changes_nothing(
    faults: list[tuple[int, Event]], cuts: list[int], encounters: bool
) -> None:
    """Observations, admissions and the rest, anywhere in the log, before the first event too."""
    log = two_stays(encounters)
    expected = after(log)
    for place, fault in sorted(faults, key=lambda one: -one[0]):
        log.insert(place, fault)
    ward = Ward(MODEL)
    ward.risks(log, *cuts)
    wrong = [offset for offset, event in enumerate(log) if event.minute < 0]
    assert {offset: ward.refused.get(offset) for offset in wrong} == dict.fromkeys(wrong, Code.PAST)
    found = known(ward.stay("a"))
    assert {name: found[name] for name in TOLD} == expected


@given(st.data(), st.booleans())
@settings(max_examples=tries(300), deadline=None)
def test_a_window_that_is_sent_again_changes_nothing(data: st.DataObject, closed: bool) -> None:
    log = [Event(**(vars(event) | {"id": f"id {row}"})) for row, event in enumerate(two_stays(False))]
    log = [*log, *[Event("a", 61 + row, {"HR": 100.0 + row}, id=f"more {row}") for row in range(12)]]
    if closed:
        log.append(Event("a", 80, kind=Kind.DISCHARGE, id="out"))
    size = data.draw(st.integers(2, min(20, len(log))))
    start = data.draw(st.integers(0, len(log) - size))
    once, twice = Ward(MODEL), Ward(MODEL)
    once.risks(log)
    again = [*log, *log[start : start + size]]
    twice.risks(again, *data.draw(st.sets(st.integers(1, len(again)), max_size=4)))
    expected = dict.fromkeys(range(len(log), len(again)), Code.DUPLICATE)
    assert {offset: code for offset, code in twice.refused.items() if offset >= len(log)} == expected
    assert twice.stay("a") == once.stay("a")
