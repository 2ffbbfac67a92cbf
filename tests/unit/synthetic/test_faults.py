"""What goes wrong goes wrong as often as it is said, and nothing else does."""

import json
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns.records import Records
from stream.decode.decoder import Decoder
from stream.synthetic.faults import AS_IN_LIFE, Faulty, Shares
from stream.synthetic.scenario import Scenario
from stream.synthetic.simulator import Ward
from stream.synthetic.spoiling import UNREADABLE
from tests.support.examples import tries

START = 1_700_000_000_000
HOUR = 3_600_000
NAMES = [field.name for field in fields(Shares)]
OFTEN = Shares(0.5, 0.5, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02)
BUSY = Scenario(stay=(0.2, 1.0), deteriorating=0.3, onset=(0.0, 0.2), course=(0.1, 0.3), returning=0.5)


def ward(seed=1):
    return Ward(9, seed, START, 60.0, BUSY)


def drawn(source, limit=1000, until=START + 3 * HOUR):
    events = []
    while len(batch := source.tick(until, limit)):
        events += zip(batch.keys, batch.values, batch.timestamps.tolist(), strict=True)
    return events


def only(**shares):
    """The ward's events, and those that a ward gives in which nothing but this goes wrong."""
    source = Faulty(ward(), Shares(**shares), 5)
    return drawn(ward()), drawn(source), source.counts


def ids(events):
    return [json.loads(value)["event_id"] for _, value, _ in events]


@settings(deadline=None, max_examples=tries(10))
@given(limit=st.integers(1, 60), seed=st.integers(0, 99))
@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes_however_events_are_asked_for(limit, seed):
    few, all_ = Faulty(ward(seed), OFTEN, seed), Faulty(ward(seed), OFTEN, seed)
    until = START + HOUR
    assert drawn(few, limit, until) == drawn(all_, until=until)
    assert few.counts == all_.counts and sum(few.counts.values()) > 0


def test_a_clean_stream_is_the_wards_and_counts_nothing() -> None:
    clean, same, counts = only()
    assert same == clean
    assert dict(counts) == dict.fromkeys(NAMES, 0)


def test_what_is_late_comes_minutes_to_hours_after_what_happened_at_its_time() -> None:
    clean, sent, counts = only(late=1.0)
    now, late = START, []
    for _, value, at in sent:
        if value.startswith(b'{"type":"observation"') and b"-results" in value:
            late.append((now - at) / 60_000)
        now = max(now, at)
    assert len(late) == counts["late"] > 10
    assert 3 < min(late) < 20 and max(late) < 180
    assert len(sent) == len(clean) + counts["late"]
    values = Counter()
    for events in (clean, sent):
        for _, value, _ in events:
            values[events is sent] += len(json.loads(value).get("values", {}))
    assert values[True] <= values[False], "a result twice"


def test_a_late_discharge_of_a_patient_who_returned_comes_after_the_next_admission() -> None:
    clean, sent, counts = only(late_discharges=1.0)
    assert counts["late_discharges"] > 5
    assert set(sent) <= set(clean)
    of = Counter()
    for key, value, _ in sent:
        event = json.loads(value)
        if event["type"] == "admission":
            of[key] = event["encounter_id"]
        elif event["type"] == "discharge":
            of["overtaken"] += of[key] != event["encounter_id"]
    assert of["overtaken"] >= 1


def test_what_is_sent_twice_is_the_same_bytes_in_windows_of_20_at_most() -> None:
    clean, sent, counts = only(repeated=0.3)
    assert len(sent) - len(clean) == counts["repeated"] > 100
    assert list(dict.fromkeys(sent)) == clean
    assert len(set(ids(sent))) == len(clean)


def test_swapped_observations_stand_after_the_patients_next_event() -> None:
    clean, sent, counts = only(swapped=0.1)
    assert sorted(sent) == sorted(clean)[: len(sent)] or len(clean) - len(sent) <= 9
    behind, latest = 0, {}
    for key, _, at in sent:
        behind += at < latest.get(key, 0)
        latest[key] = max(at, latest.get(key, 0))
    assert behind == counts["swapped"] > 50


def test_a_bad_field_is_one_value_of_an_event_that_is_json_still() -> None:
    clean, sent, counts = only(bad_fields=0.2)
    changed = [(json.loads(a[1]), json.loads(b[1])) for a, b in zip(clean, sent, strict=True) if a != b]
    assert len(changed) == counts["bad_fields"] > 100
    bad = set()
    for was, became in changed:
        differ = {name: given for name, given in became["values"].items() if given != was["values"][name]}
        assert len(differ) == 1
        bad |= {given if given is None else given[2:] for given in differ.values()}
    assert {"%", None, ",0"} <= bad


def test_a_clock_that_was_reset_shows_the_year_2000() -> None:
    clean, sent, counts = only(clock_resets=0.1)
    reset = [json.loads(value)["observed_at"] for _, value, _ in sent if b'"observed_at":9466' in value]
    later = [json.loads(value)["observed_at"] for _, value, _ in sent if b'"observed_at":9467' in value]
    assert len(reset) + len(later) == counts["clock_resets"] > 50
    assert ids(sent) == ids(clean)


def test_a_discharge_by_mistake_is_taken_back_before_the_patient_truly_moves() -> None:
    _, sent, counts = only(cancelled=0.05)
    open_ = set()
    cancelled = 0
    for key, value, _ in sent:
        event = json.loads(value)
        if event["type"] == "discharge" and event["event_id"].endswith("-mistake"):
            open_.add(key)
        elif event.get("cancel"):
            open_.remove(key)
            cancelled += 1
        elif event["type"] != "observation":
            assert key not in open_
    assert cancelled == counts["cancelled"] > 20


def test_unreadable_records_come_besides_the_good_ones() -> None:
    clean, sent, counts = only(unreadable=0.2)
    left = iter(sent)
    assert all(event in left for event in clean)
    assert len(sent) - len(clean) == counts["unreadable"] > 100


@pytest.mark.parametrize("spoil", UNREADABLE)
def test_every_unreadable_record_is_refused_by_the_decoder(spoil):
    batch = ward().tick(START + 180_000)
    for key, value in zip(batch.keys, batch.values, strict=True):
        one = np.zeros(1, np.int64)
        spoiled = Records("t", [spoil(value)], [key], np.zeros(1, np.int32), one, one)
        assert len(Decoder(1 << 20, 300.0).decode(spoiled).refused) == 1


def test_in_life_all_of_it_happens_and_most_records_are_good() -> None:
    source = Faulty(Ward(300, 2, START, 60.0, BUSY), AS_IN_LIFE, 2)
    sent = drawn(source)
    assert all(source.counts[name] for name in NAMES)
    assert sum(source.counts.values()) < 0.05 * len(sent)
