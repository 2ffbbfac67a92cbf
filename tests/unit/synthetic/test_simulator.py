"""The synthetic ward: reproducible, plausible, and its illnesses look like illnesses."""

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.variables import INDEX, STATIC_RANGES, VARIABLES
from stream.contracts.events import PATIENT_EVENT, Admission, Observation
from stream.synthetic.patients import SILENCEABLE
from stream.synthetic.physiology import TRAITS, Course
from stream.synthetic.scenario import Scenario
from stream.synthetic.simulator import Ward
from tests.support.examples import tries

START = 1_700_000_000_000
HOUR = 3_600_000


def ward(patients=7, seed=1, interval=60.0, **scenario):
    return Ward(patients, seed, START, interval, Scenario(**scenario))


def taken(source, steps):
    batches = [source.tick(START + step) for step in steps]
    values = [value for batch in batches for value in batch.values]
    keys = [key for batch in batches for key in batch.keys]
    return keys, values, np.concatenate([batch.timestamps for batch in batches]).tolist()


@settings(max_examples=tries(25), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    patients=st.integers(1, 40),
    interval=st.sampled_from([0.5, 1.0, 60.0, 900.0, 40_000.0]),
)
def test_every_event_is_a_valid_patient_event_with_plausible_values_only(seed, patients, interval):
    source = ward(
        patients, seed, interval, deteriorating=0.8, onset=(0.0, 1.0), course=(0.1, 2.0), silent=0.5
    )
    batch = source.tick(START + round(6 * interval * 1000))
    assert len(batch) == len(batch.values) == len(batch.keys) == len(batch.timestamps) >= 6 * patients
    for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
        event = PATIENT_EVENT.validate_json(value, strict=True)
        assert (event.patient_id.encode(), event.observed_at) == (key, timestamp)
        if isinstance(event, Observation):
            assert event.values
            assert len(json.loads(value, object_pairs_hook=list)[-1][1]) == len(event.values), "a name twice"
            for name, number in event.values.items():
                low = VARIABLES[INDEX[name]].low
                assert low <= number <= VARIABLES[INDEX[name]].high
        elif isinstance(event, Admission):
            static = event.static.model_dump(exclude_none=True)
            for name in static.keys() & STATIC_RANGES.keys():
                assert STATIC_RANGES[name].low <= static[name] <= STATIC_RANGES[name].high


@settings(max_examples=tries(25), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.integers(0, 400_000), min_size=1, max_size=6).map(sorted),
    limit=st.integers(1, 9),
)
@pytest.mark.long
def test_the_same_seed_gives_the_same_events_however_they_are_asked_for(seed, steps, limit):
    at_once = taken(ward(seed=seed), steps[-1:])
    assert taken(ward(seed=seed), steps) == at_once
    source, few = ward(seed=seed), []
    while batch := source.tick(START + steps[-1], limit).values:
        assert len(batch) <= limit
        few += batch
    assert few == at_once[1]


def test_another_seed_gives_other_events() -> None:
    assert taken(ward(seed=1), [600_000])[1] != taken(ward(seed=2), [600_000])[1]


def test_a_patient_is_admitted_first_and_then_seen_once_each_interval() -> None:
    keys, values, times = taken(ward(5, interval=30.0), [150_000 - 1])
    assert times == sorted(times)
    by_patient = defaultdict(list)
    for key, value, at in zip(keys, values, times, strict=True):
        by_patient[key].append((type(PATIENT_EVENT.validate_json(value)), at))
    assert len(by_patient) == 5
    for events in by_patient.values():
        assert [kind for kind, _ in events] == [Admission] + 4 * [Observation]
        assert np.diff([at for _, at in events]).tolist() == 4 * [30_000]


def test_due_counts_what_tick_gives() -> None:
    source = ward(7, interval=1.0)
    assert source.due(START - 1) == 0
    for until in (START, START + 300, START + 299, START + 5_123):
        expected = source.due(until)
        assert len(source.tick(until)) == expected
        assert source.due(until) == 0


@pytest.fixture(scope="module")
def outcome_of():
    """Mean values of each course after six hours, in a ward where it began in the first."""
    source = ward(
        400,
        3,
        600.0,
        deteriorating=0.75,
        onset=(0.1, 0.5),
        course=(3.0, 4.0),
        wait=(20.0, 30.0),
        arresting=0.0,
        silent=0.0,
    )
    events = source.tick(START + 6 * HOUR)
    sums = {course: defaultdict(list) for course in Course}
    course_of = dict(zip(source.census.keys, source.census.fates["course"].tolist(), strict=True))
    for key, value, at in zip(events.keys, events.values, events.timestamps, strict=True):
        if at > START + 4 * HOUR:
            for name, number in json.loads(value)["values"].items():
                sums[course_of[key]][name].append(number)
    return {course: {name: np.mean(all_) for name, all_ in names.items()} for course, names in sums.items()}


def test_stable_patients_stay_near_their_usual_values(outcome_of):
    stable = outcome_of[Course.STABLE]
    for name in ("HR", "RespRate", "SaO2", "SysABP", "Temp"):
        assert abs(stable[name] - TRAITS[name].mean) < TRAITS[name].spread


@pytest.mark.parametrize(
    ("course", "higher", "lower"),
    [
        (
            Course.SEPSIS,
            {"HR": 35, "RespRate": 10, "Temp": 1.2, "Lactate": 3},
            {"MAP": 20, "SysABP": 25, "NIMAP": 20, "GCS": 2},
        ),
        (Course.HAEMORRHAGE, {"HR": 40, "Lactate": 3}, {"SysABP": 35, "MAP": 15, "HCT": 8, "Temp": 0.5}),
        (
            Course.RESPIRATORY_FAILURE,
            {"RespRate": 12, "PaCO2": 15, "FiO2": 0.3},
            {"SaO2": 9, "PaO2": 25, "pH": 0.1},
        ),
    ],
)
def test_illness_changes_the_vital_signs_that_it_should(outcome_of, course, higher, lower):
    stable, ill = outcome_of[Course.STABLE], outcome_of[course]
    for name, least in higher.items():
        assert ill[name] - stable[name] > least, name
    for name, least in lower.items():
        assert stable[name] - ill[name] > least, name


def test_pulse_pressure_narrows_in_haemorrhage_and_not_in_sepsis(outcome_of):
    def pulse(course):
        return outcome_of[course]["SysABP"] - outcome_of[course]["DiasABP"]

    assert pulse(Course.HAEMORRHAGE) < pulse(Course.SEPSIS) - 10


def test_the_mean_pressure_lies_between_the_others() -> None:
    for value in ward(50, interval=600.0, deteriorating=1.0).tick(START + 4 * HOUR).values[50:]:
        values = json.loads(value)["values"]
        if {"SysABP", "DiasABP", "MAP"} <= values.keys():
            assert values["DiasABP"] < values["MAP"] < values["SysABP"]


def test_patients_who_are_seen_to_recover() -> None:
    source = ward(
        30,
        5,
        600.0,
        deteriorating=1.0,
        onset=(1.0, 1.0),
        course=(1.0, 1.0),
        wait=(1.0, 1.0),
        arresting=0.0,
        recovery=(2.0, 2.0),
    )
    source.tick(START + HOUR // 6 - 1)
    rows = slice(0, 30)
    severity = [
        source.census.condition(rows, source.census.admitted + hour * HOUR).severity.mean()
        for hour in (1, 2, 3, 4, 5)
    ]
    assert severity[0] == 0 and severity[1] > 0.8 and severity[1] == severity[2]
    assert severity[2] > severity[3] > severity[4] == 0


def test_a_silent_sensor_stays_silent_and_the_others_go_on() -> None:
    source = ward(40, 5, 60.0, silent=1.0, silence=(0.5, 0.5), deteriorating=0.0)
    batch = source.tick(START + 2 * HOUR)
    sensors = dict(zip(source.census.keys, source.census.fates["silent_sensor"].tolist(), strict=True))
    seen = dict.fromkeys(SILENCEABLE, 0)
    for key, value, at in zip(batch.keys, batch.values, batch.timestamps, strict=True):
        if at > START + HOUR // 2 + 60_000:
            values = json.loads(value)["values"]
            assert SILENCEABLE[sensors[key]] not in values
            for sensor in seen:
                seen[sensor] += sensor in values
    assert all(seen.values())


def test_laboratory_values_are_rarer_than_vital_signs() -> None:
    batch = ward(60, interval=60.0, deteriorating=0.0).tick(START + 12 * HOUR)
    counts = defaultdict(int)
    for value in batch.values[60:]:
        for name in json.loads(value).get("values", ()):
            counts[name] += 1
    assert counts["HR"] > 40 * counts["Temp"] > 40 * counts["Lactate"] > 40 * counts["K"] > 0


def test_no_patient_has_both_an_arterial_line_and_a_cuff() -> None:
    by_patient = defaultdict(set)
    batch = ward(60, interval=60.0).tick(START + HOUR)
    for key, value in zip(batch.keys, batch.values, strict=True):
        by_patient[key] |= json.loads(value).get("values", {}).keys()
    with_line = {key for key, names in by_patient.items() if "MAP" in names}
    assert 0 < len(with_line) < 60
    assert all(("NIMAP" in names) == (key not in with_line) for key, names in by_patient.items())
