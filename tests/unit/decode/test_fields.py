"""One field that cannot be read costs that field, never what was measured well beside it."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.variables import INDEX, STATICS, VARIABLES
from stream.columns.events import Code, Dropped, Events
from stream.decode import decoder as decoder_module
from stream.decode.decoder import Decoded, Decoder
from tests.unit.decode.test_decoder import AT, NOW, decode, observation, records

NORMAL = {
    "HR": 80,
    "NISysABP": 120,
    "NIDiasABP": 70,
    "RespRate": 16,
    "SaO2": 97,
    "Temp": 36.8,
    "GCS": 15,
    "FiO2": 0.21,
}
STATIC = {"age": 63, "sex": "male", "height": 170, "weight": 80, "unit_type": "medical"}
NO_NUMBERS = [
    "98%",
    "nan",
    "36,8",
    "",
    "\ud800",
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    -(10**400),
    [],
    [80],
    {},
    {"value": 80},
]


def same(found: Events, wanted: Events) -> None:
    for column in ("kinds", "observed_at", "values", "statics", "places"):
        np.testing.assert_array_equal(getattr(found, column), getattr(wanted, column), column)
    assert found.patients == wanted.patients
    assert found.names == wanted.names


def costs_one_field(found: Decoded, wanted: Decoded, reason: Dropped) -> None:
    same(found.events, wanted.events)
    assert len(found.events) == 1
    assert +Counter(found.dropped) == {reason: 1}
    assert not any(wanted.dropped.values())


@pytest.mark.parametrize("name", ["Lactate", "SaO2", "Mood", "\ud800", "[key]", ""])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: ascii(value)[:12])
def test_a_value_that_is_no_number_is_left_out_and_counted(name: str, value: object) -> None:
    rest = {other: number for other, number in NORMAL.items() if other != name}
    found, wanted = decode(observation(values=rest | {name: value})), decode(observation(values=rest))
    costs_one_field(found, wanted, Dropped.NOT_A_NUMBER)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" + b"0" * 5000, b"NaN", b"-Infinity"])
def test_a_number_that_no_float_holds_is_left_out_and_counted(number: bytes) -> None:
    found = decode(
        observation(values=NORMAL | {"Lactate": 0}).replace(b'"Lactate": 0', b'"Lactate": ' + number)
    )
    costs_one_field(found, decode(observation(values=NORMAL)), Dropped.NOT_A_NUMBER)


def test_null_is_not_measured_and_not_counted() -> None:
    found = decode(observation(values=NORMAL | {"Lactate": None}), observation(values={"HR": None}))
    same(found.events, decode(observation(values=NORMAL), observation(values={})).events)
    assert not any(found.dropped.values())


def test_null_is_read_by_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_module.reasons, "validate", None)
    assert len(decode(observation(values={"HR": None, "Temp": 37})).events) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", "> 89"),
        ("age", True),
        ("age", math.nan),
        ("sex", "M"),
        ("sex", 1),
        ("sex", "\ud800"),
        ("height", "170"),
        ("weight", [80]),
        ("weight", 10**400),
        ("unit_type", "MICU"),
        ("unit_type", {}),
    ],
)
def test_a_static_that_cannot_be_read_is_left_out_and_counted(name: str, value: object) -> None:
    rest = {other: known for other, known in STATIC.items() if other != name}
    found = decode(observation(type="admission", static=rest | {name: value}))
    costs_one_field(found, decode(observation(type="admission", static=rest)), Dropped.WRONG_FIELD)
    assert np.isnan(found.events.statics[0]).tolist() == [other == name for other in STATICS]


@pytest.mark.parametrize("static", ["none", [], 5, True, None])
def test_statics_that_are_no_object_are_left_out_and_counted_once(static: object) -> None:
    found = decode(observation(type="admission", static=static))
    costs_one_field(found, decode(observation(type="admission")), Dropped.WRONG_FIELD)


def test_an_implausible_static_is_left_out_and_counted() -> None:
    found = decode(observation(type="admission", static=STATIC | {"height": 1.7}))
    rest = {name: known for name, known in STATIC.items() if name != "height"}
    costs_one_field(found, decode(observation(type="admission", static=rest)), Dropped.IMPLAUSIBLE)


SPARED = [("observation", name) for name in ("event_id", "encounter_id", "unit", "bed")]
SPARED += [(kind, name) for kind in ("admission", "transfer") for name in ("event_id", "unit", "bed")]
SPARED += [("discharge", name) for name in ("event_id", "unit", "bed", "outcome")]


@pytest.mark.parametrize(("kind", "name"), SPARED)
@pytest.mark.parametrize(
    "value", [5, True, ["a"], {}, "\ud800", "x" * 257], ids=lambda value: ascii(value)[:8]
)
def test_an_event_does_without_a_field_that_changes_nothing(kind: str, name: str, value: object) -> None:
    place = {"unit": "icu"} if name == "bed" else {"bed": "7"}
    given = observation(type=kind, **place, **{name: value})
    found, wanted = decode(given), decode(observation(type=kind, **place))
    costs_one_field(found, wanted, Dropped.WRONG_FIELD)


@pytest.mark.parametrize("kind", ["admission", "transfer", "discharge"])
@pytest.mark.parametrize(
    "encounter", [5, True, ["a"], {}, "\ud800", "x" * 257], ids=lambda value: ascii(value)[:8]
)
def test_a_stay_is_not_begun_moved_or_ended_by_guess(kind: str, encounter: object) -> None:
    found = decode(observation(type=kind, bed="7", encounter_id=encounter))
    assert found.refused.codes == [Code.WRONG_FIELD]
    assert not any(found.dropped.values())


def test_what_a_refused_event_is_without_is_not_counted() -> None:
    bad = {"HR": "80"}
    found = decode(
        observation(values=bad, patient_id="p2"),
        observation(values=bad, observed_at=AT + 300_001),
        observation(values=bad, observed_at="now"),
    )
    assert found.refused.codes == [Code.KEY_MISMATCH, Code.FUTURE, Code.WRONG_FIELD]
    assert not any(found.dropped.values())


def test_places_are_told_by_the_texts_that_name_them() -> None:
    events = decode(
        observation(encounter_id="e1", unit="icu", bed="7"),
        observation(),
        observation(type="transfer", unit="icu", bed="icu"),
        observation(encounter_id="", unit=None, bed=""),
        observation(type="discharge", encounter_id="e2", bed="é"),
    ).events
    first, none, moved, empty, other = events.places.tolist()
    assert none == empty == [0, 0, 0]
    assert moved == [0, first[1], first[1]], "the same text has the same hash"
    assert [[events.names.get(key) for key in row] for row in (first, moved, other)] == [
        ["e1", "icu", "7"],
        [None, "icu", "icu"],
        ["e2", None, "é"],
    ]
    assert sorted(events.names.values()) == sorted({"e1", "e2", "icu", "7", "é"})
    again = decode(observation(bed="e1")).events
    assert again.places.tolist() == [[0, 0, first[0]]], "in another micro-batch, too"
    kept = events.keep(np.array([False, False, True, False, True]))
    assert kept.places.tolist() == [moved, other]


def test_no_event_names_no_place() -> None:
    events = decode().events
    assert (events.places.shape, events.places.dtype, events.names) == ((0, 3), np.uint64, {})


texts = st.none() | st.sampled_from(["", "icu", "é", "x" * 256])
numbers = st.none() | st.floats(0, 200) | st.integers(0, 200)
observations = st.fixed_dictionaries(
    {
        "patient_id": st.just("p1"),
        "observed_at": st.integers(AT - 1000, AT),
        "values": st.dictionaries(st.sampled_from(["HR", "Temp", "FiO2", "Mood"]), numbers),
    },
    optional=dict.fromkeys(("event_id", "encounter_id", "unit", "bed"), texts)
    | {"type": st.just("observation")},
)


def encoded(events: list[dict[str, Any]]) -> list[bytes | None]:
    return [json.dumps(event).encode() for event in events]


def by_the_slow_path(values: list[bytes | None]) -> Decoded:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_module, "_fast", lambda _: int("no event"))
        return Decoder(1_048_576, 300, lambda: NOW).decode(records(values))


@given(st.lists(observations, max_size=4))
def test_the_fast_and_the_slow_path_read_an_observation_alike(events: list[dict[str, Any]]) -> None:
    fast, slow = decode(*encoded(events)), by_the_slow_path(encoded(events))
    same(fast.events, slow.events)
    np.testing.assert_array_equal(fast.events.digests, slow.events.digests)
    assert len(fast.events) == len(events)
    assert +Counter(fast.dropped) == +Counter(slow.dropped)


bad_values = st.sampled_from(NO_NUMBERS) | st.text() | st.lists(st.none() | st.integers(), max_size=2)


@given(
    st.dictionaries(st.sampled_from([one.name for one in VARIABLES]), st.floats(0, 200)),
    st.sampled_from([one.name for one in VARIABLES]) | st.text(max_size=4),
    bad_values,
    st.integers(0),
)
@example({"HR": 80.0}, "\ud800", "x", 0)
def test_a_bad_value_never_changes_the_others(
    good: dict[str, float], name: str, bad: object, place: int
) -> None:
    good.pop(name, None)
    mixed: list[tuple[str, object]] = list(good.items())
    mixed.insert(place % (len(mixed) + 1), (name, bad))
    found, wanted = decode(observation(values=dict(mixed))), decode(observation(values=good))
    same(found.events, wanted.events)
    assert Counter(found.dropped) - Counter(wanted.dropped) == {Dropped.NOT_A_NUMBER: 1}


@pytest.mark.parametrize(("name", "ended"), [("HR", 0), ("HR", -0.0), ("RespRate", 0), ("MechVent", 0)])
def test_arrest_and_the_end_of_ventilation_are_measured(name: str, ended: float) -> None:
    found = decode(observation(values={name: ended}))
    assert found.events.values[0, INDEX[name]] == ended
    assert not np.signbit(found.events.values[0, INDEX[name]])
    assert not any(found.dropped.values())
