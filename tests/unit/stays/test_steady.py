"""Patients carried at once, held against the same patients carried wave by wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.batch.waves import pack
from stream.columns.events import Kind
from stream.stays.moments import Lanes, Moments, Trace
from stream.stays.steady import carry_at_once, steady
from stream.stays.walk import Timeline, carry_in_waves
from tests.support.events import PERIODS, Event, Still, Ward, columns
from tests.support.examples import tries

NAMED = [("e", "icu", "1"), ("e", "", ""), ("", "icu", "1"), ("", "", "")]
RARE = ["late", "ahead", "elsewhere", "again", "much later", *list(Kind)[1:]]
KNOWN = [Event(patient, 5990, {"HR": 80.0}, encounter="e", unit="icu", bed="1") for patient in "abcd"]


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Mostly plain: time goes on, and but for a few each event is an observation of the open stay."""
    log, minute = list(KNOWN), 6000
    behind = set(draw(st.sampled_from(["", "ef"])))
    rare = draw(st.dictionaries(st.integers(0, 11), st.sampled_from(RARE), max_size=2))
    for number in range(draw(st.integers(5, 20))):
        minute += draw(st.integers(0, 9))
        patient = draw(st.sampled_from("abcdef"))
        values = draw(st.dictionaries(st.sampled_from(["HR", "SaO2"]), st.floats(4, 200), max_size=2))
        encounter, unit, bed = draw(st.sampled_from(NAMED)) if patient in "abcd" else ("", "", "")
        event = Event(patient, minute, values, encounter=encounter, unit=unit, bed=bed)
        match rare.get(number):
            case "late":
                event = replace(event, minute=minute - 30)
            case "ahead":
                event = replace(event, minute=minute + 5000)
            case "elsewhere":
                event = replace(event, unit="ward", bed="")
            case "again":
                event = replace(log[-1], id=log[-1].id or f"offset {len(log) - 1}")
            case "much later":
                minute += 5000
            case Kind() as kind:
                event = replace(event, kind=kind)
            case None if patient in behind:
                event = replace(event, minute=minute - 5000)
                behind.discard(patient)
        log.append(event)
    return log


def batch(log: Sequence[Event], before: int) -> tuple[np.ndarray, Lanes, Moments]:
    """The stays after the first events of a log, and what the rest is to them."""
    ward = Ward(Still())
    ward.feed(log[:before])
    rest = columns(log[before:], before)
    slots = ward.store.admit(rest.patients, rest.partitions)
    packing = pack(slots)
    stream_times = ward.store.stream_times(rest.partitions, rest.observed_at)
    moments = Moments.of(rest, stream_times, packing.order)
    return ward.store.stays(packing.groups), Lanes(packing.sizes), moments


@given(logs(), st.integers(4, 16))
@settings(max_examples=tries(300))
def test_whoever_is_steady_ends_as_wave_by_wave_after_the_same_timeline(
    log: list[Event], before: int
) -> None:
    stays, lanes, moments = batch(log, before)
    chosen = steady(stays, lanes, moments, PERIODS)
    events = chosen[lanes.rows]
    lanes, moments = lanes.part(events), moments.part(events)
    ends, lines = [], []
    for carry in (carry_at_once, carry_in_waves):
        carried, trace = stays[chosen], Trace.blank(len(lanes.rows))
        carry(carried, lanes, moments, trace, PERIODS)
        ends.append(carried)
        lines.append(Timeline.of(moments, trace))
    assert ends[0].tobytes() == ends[1].tobytes()
    for name in set(Timeline.__match_args__) - {"described"}:
        np.testing.assert_array_equal(*(getattr(line, name) for line in lines), err_msg=name)


def test_plain_patients_are_steady_and_the_others_are_not() -> None:
    """Plain: new, known, with several events. Not: a late event, another unit, a discharge, a long silence, a
    repeat, a vital sign that is newer than the stay's clock (its stay began after it had come), a patient of
    whom nothing but a transfer is known."""
    known = [Event(patient, 10, {"HR": 80.0}, encounter="e", unit="icu") for patient in "abcdefgh"]
    known += [Event("h", 20, {"HR": 90.0}), Event("h", 15, kind=Kind.ADMISSION, encounter="next")]
    known += [Event("i", 11, kind=Kind.TRANSFER, unit="icu")]
    rest = [
        *[Event(patient, minute, {"HR": 90.0}) for minute in (10, 12, 13) for patient in "abn"],
        Event("b", 14, encounter="e", unit="icu"),
        *[Event("c", minute) for minute in (12, 9)],
        Event("d", 12, unit="ward"),
        *[Event("e", 12), Event("e", 13, kind=Kind.DISCHARGE)],
        Event("f", 11 + PERIODS.expire_after // 60_000),
        *[Event("g", 12, id="same")] * 2,
        Event("h", 17, {"HR": 70.0}),
        Event("i", 12),
    ]
    log = known + rest
    stays, lanes, moments = batch(log, len(known))
    found = steady(stays, lanes, moments, PERIODS)
    order = pack(np.array([ord(event.patient) for event in rest])).groups
    assert dict(zip(map(chr, order), found.tolist(), strict=True)) == {
        **dict.fromkeys("abn", True),
        **dict.fromkeys("cdefghi", False),
    }
