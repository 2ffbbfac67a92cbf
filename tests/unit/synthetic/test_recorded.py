"""Recorded stays: every event once, in order of time, with the numbers that were recorded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.datasets import physionet2012
from model.datasets.stays import Stays
from model.variables import INDEX, NAMES
from stream.contracts.events import PATIENT_EVENT, Admission
from stream.synthetic.recorded import RecordedFeed, spell

START = 1_600_000_000_000
MINUTE = 60_000
DATA = Path(os.environ.get("VITALSTREAM_DATA", "../shared/data"))


def row(**measured):
    values = np.full(len(NAMES), np.nan, np.float32)
    for name, value in measured.items():
        values[INDEX[name]] = value
    return values


def stays(*patients, statics=None):
    """patients: lists of (minute, values)."""
    events = [event for patient in patients for event in patient]
    return Stays(
        record_ids=np.arange(101, 101 + len(patients), dtype=np.int32),
        statics=np.full((len(patients), 5), np.nan, np.float32) if statics is None else np.float32(statics),
        starts=np.cumsum([0, *map(len, patients)]),
        minutes=np.array([minute for minute, _ in events], np.int32),
        values=np.array([values for _, values in events], np.float32).reshape(-1, len(NAMES)),
    )


TWO = stays(
    [(0, row(HR=80)), (5, row(HR=81, Temp=37.1)), (60, row(SaO2=97))],
    [(5, row(HR=60)), (7, row(FiO2=0.35, GCS=15))],
)


def told(recorded, limit=1000):
    """(patient, minute, values or static), in the order sent."""
    events = []
    while batch := recorded.tick(1 << 60, limit).values:
        for value in batch:
            event = json.loads(value)
            minute = (event["observed_at"] - START) / MINUTE
            events.append((event["patient_id"], minute, event.get("values", event["type"])))
    return events


def test_patients_are_interleaved_in_order_of_time_and_begin_with_their_admission():
    assert told(RecordedFeed(TWO, START)) == [
        ("101", 0, "admission"),
        ("101", 0, {"HR": 80}),
        ("102", 0, "admission"),
        ("101", 5, {"HR": 81, "Temp": 37.1}),
        ("102", 5, {"HR": 60}),
        ("102", 7, {"FiO2": 0.35, "GCS": 15}),
        ("101", 60, {"SaO2": 97}),
    ]


def test_staggered_patients_begin_one_after_the_other():
    recorded = RecordedFeed(TWO, START, stagger_ms=6 * MINUTE)
    assert recorded.end_ms == START + 60 * MINUTE
    assert [(patient, minute) for patient, minute, _ in told(recorded)] == [
        ("101", 0),
        ("101", 0),
        ("101", 5),
        ("102", 6),
        ("102", 11),
        ("102", 13),
        ("101", 60),
    ]


@given(limit=st.integers(1, 9))
def test_the_events_do_not_depend_on_the_size_of_batches(limit):
    assert told(RecordedFeed(TWO, START), limit) == told(RecordedFeed(TWO, START))


def test_only_what_has_happened_is_due_and_nothing_twice():
    recorded = RecordedFeed(TWO, START)
    assert (len(recorded), recorded.due(START - 1), recorded.due(START)) == (7, 0, 3)
    assert len(recorded.tick(START)) == 3
    assert len(recorded.tick(START)) == 0
    assert len(recorded.tick(START + 5 * MINUTE)) == recorded.due(recorded.end_ms) == 2


def test_implausible_values_are_sent_as_recorded() -> None:
    garbage = stays([(0, row(SysABP=-1, pH=735, Temp=-17.8, WBC=12500, HR=0))])
    assert told(RecordedFeed(garbage, START))[1][2] == {
        "HR": 0,
        "SysABP": -1,
        "Temp": -17.8,
        "pH": 735,
        "WBC": 12500,
    }


def test_statics_are_sent_in_the_words_of_the_contract() -> None:
    known = stays([], [], statics=[[63, 1, 170.2, -1, 4], [np.nan, -1, np.nan, 81, 2]])
    admissions = [json.loads(value)["static"] for value in RecordedFeed(known, START).tick(START).values]
    assert admissions == [
        {"age": 63, "sex": "male", "height": 170.2, "weight": -1, "unit_type": "surgical"},
        {"weight": 81, "unit_type": "cardiac_surgery"},
    ]


def test_an_event_without_values_is_still_an_event():
    assert told(RecordedFeed(stays([(3, row())]), START))[1] == ("101", 3, {})


def test_nothing_recorded_is_nothing_to_send():
    recorded = RecordedFeed(stays(), START)
    assert (len(recorded), recorded.end_ms, told(recorded)) == (0, 0, [])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_short_and_reads_back_as_the_same_float32(number):
    text = spell(np.float32(number))
    assert np.float32(json.loads(text)) == np.float32(number)
    assert len(text) <= len("-1.42959205e-36")


@pytest.mark.skipif(
    not (DATA / "physionet2012").is_dir(), reason="PhysioNet 2012 is not under VITALSTREAM_DATA"
)
@pytest.mark.long
def test_physionet_is_replayed_whole() -> None:
    recorded_stays = physionet2012.read(DATA, "b")
    chosen = recorded_stays.select(np.arange(0, len(recorded_stays), 40))
    recorded = RecordedFeed(chosen, START)
    batch = recorded.tick(recorded.end_ms, limit=len(recorded))
    assert len(batch) == len(recorded) == len(chosen) + len(chosen.minutes)
    assert (np.diff(batch.timestamps) >= 0).all()
    place = {str(record): index for index, record in enumerate(chosen.record_ids.tolist())}
    next_row = chosen.starts[:-1].copy()
    for key, value, timestamp in zip(batch.keys, batch.values, batch.timestamps.tolist(), strict=True):
        event = PATIENT_EVENT.validate_json(value)
        assert (event.patient_id.encode(), event.observed_at) == (key, timestamp)
        patient = place[event.patient_id]
        if isinstance(event, Admission):
            assert next_row[patient] == chosen.starts[patient]
            continue
        expected = chosen.values[next_row[patient]]
        assert timestamp == START + MINUTE * int(chosen.minutes[next_row[patient]])
        np.testing.assert_array_equal(row(**event.values), expected)
        next_row[patient] += 1
    np.testing.assert_array_equal(next_row, chosen.starts[1:])
