"""Stable patients look stable; the others are admitted, moved, arrest, recover or die, and are discharged."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.cli.demo import HISTORY_HOURS, before, newcomers
from stream.synthetic.scenario import Scenario
from stream.synthetic.simulator import Ward
from tests.support.examples import tries
from tests.unit.synthetic.lives import arrests, news2, read, stays

START = 1_700_000_000_000
HOUR = 3_600_000
BUSY = Scenario(
    stay=(0.3, 3.0),
    deteriorating=0.6,
    onset=(0.05, 0.3),
    course=(0.2, 0.5),
    wait=(0.05, 0.1),
    arresting=0.6,
    recovery=(0.2, 0.5),
    returning=0.3,
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stable_patient_has_a_news2_of_2_at_most_and_is_awake_on_room_air(seed):
    ward = Ward(60, seed, START, 300.0, Scenario(deteriorating=0.0, silent=0.0))
    for events in read(ward.tick(START + 24 * HOUR)).values():
        scores = np.array(list(news2(events)))
        assert (scores <= 2).mean() >= 0.95
        values = Counter()
        for event in events:
            given = event.get("values", {})
            assert given.get("GCS", 15) == 15 and given.get("FiO2", 0.21) == 0.21
            values.update(low=given.get("SaO2", 100) < 96, all=1)
        assert values["low"] < 0.02 * values["all"]


@settings(max_examples=tries(20), deadline=None)
@given(seed=st.integers(0, 2**32), patients=st.integers(1, 30), interval=st.sampled_from([30.0, 60.0, 900.0]))
def test_every_stay_begins_with_an_admission_and_nothing_follows_its_discharge(seed, patients, interval):
    batch = Ward(patients, seed, START, interval, BUSY).tick(START + 6 * HOUR)
    ids = set()
    for events in read(batch).values():
        times = [event["observed_at"] for event in events]
        assert times == sorted(times)
        stays_of_one = list(stays(events).values())
        assert [event for stay in stays_of_one for event in stay] == events
        for stay in stays_of_one:
            kinds = [event["type"] for event in stay]
            assert kinds[0] == "admission" and kinds.count("admission") == 1
            assert "discharge" not in kinds[:-1]
            assert stay[0]["unit"] and stay[0]["bed"]
        assert all(stay[-1]["type"] == "discharge" for stay in stays_of_one[:-1])
        ids |= {event["event_id"] for event in events}
    assert len(ids) == len(batch)


def test_the_census_stays_the_same_but_for_those_who_are_about_to_come() -> None:
    present, most = set(), 0
    for key, events in sorted(read(Ward(40, 1, START, 60.0, BUSY).tick(START + 8 * HOUR)).items()):
        present |= {(event["observed_at"], event["type"] == "admission", key) for event in events}
        most += any(event["type"] == "discharge" for event in events)
    assert most > 40
    by_minute = Counter((at - START) // 60_000 for at, _, _ in present)
    assert {by_minute[minute] for minute in range(480)} == {40}


@pytest.fixture(scope="module")
def busy():
    return [
        stay
        for events in read(Ward(60, 4, START, 60.0, BUSY).tick(START + 12 * HOUR)).values()
        for stay in stays(events).values()
        if stay[-1]["type"] == "discharge"
    ]


def test_an_arrest_has_no_pulse_no_breath_and_a_falling_saturation(busy):
    found = [arrests(stay) for stay in busy]
    assert sum(map(bool, found)) > 20
    for events in filter(None, found):
        values = [event["values"] for event in events]
        assert all(given.get("RespRate", 0) == 0 for given in values)
        saturations = [given["SaO2"] for given in values if "SaO2" in given]
        assert saturations == sorted(saturations, reverse=True)
        assert min(given.get("SysABP", given.get("NISysABP", 0)) for given in values) < 50 or len(values) < 3


def test_the_heart_stands_still_for_minutes_and_beats_again_or_the_patient_dies(busy):
    outcomes = Counter()
    for stay in busy:
        if not (stopped := arrests(stay)):
            continue
        assert stopped[-1]["observed_at"] - stopped[0]["observed_at"] <= 13 * 60_000
        outcome = stay[-1]["outcome"]
        outcomes[outcome] += 1
        after = [event for event in stay if event["observed_at"] > stopped[-1]["observed_at"]]
        if outcome == "home":
            pulses = [event["values"]["HR"] for event in after if "HR" in event.get("values", {})]
            assert pulses and 50 < pulses[-1] < 125
            assert any(event.get("values", {}).get("MechVent") == 1 for event in after)
        else:
            assert not any(event.get("values", {}).get("HR") for event in after)
    assert min(outcomes["home"], outcomes["died"]) >= 5


def test_a_patient_who_was_seen_to_is_moved_to_intensive_care_and_back(busy):
    moves = [[event["unit"] for event in stay if event["type"] == "transfer"] for stay in busy]
    moved = [units for units in moves if units]
    assert len(moved) > 20
    assert all(units[0] == "icu" for units in moved)
    assert all(units[1].startswith("med-") for units in moved if len(units) == 2)


def test_some_patients_return_for_another_stay(busy):
    assert sum(stay[0]["encounter_id"].endswith("-2") for stay in busy) >= 3


@pytest.mark.parametrize("seconds", [30, 60])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_in_the_demo_somebody_is_admitted_arrests_and_leaves_while_it_is_watched(seed, seconds):
    hours = seconds * 60 / 3600
    ward = Ward(60, seed, START, 60.0, before(hours), newcomers=newcomers(hours))
    watched = START + HISTORY_HOURS * HOUR
    outcomes = Counter()
    for events in read(ward.tick(int(watched + hours * HOUR))).values():
        for stay in stays(events).values():
            if arrests(stay) and stay[0]["observed_at"] > watched and stay[-1]["type"] == "discharge":
                outcomes[stay[-1]["outcome"]] += 1
    assert outcomes["home"] >= 1
