import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.variables import INDEX, VARIABLES
from stream.columns.events import Code, Dropped, Kind
from stream.columns.records import Records
from stream.decode import decoder as decoder_module
from stream.decode import reasons
from stream.decode.decoder import Decoder

NOW = 1_700_000_000.0
AT = int(NOW * 1000)


def records(values: list[bytes | None], keys: list[bytes | None] | None = None) -> Records:
    count = len(values)
    return Records(
        "vitals.observations.v1",
        values,
        [b"p1"] * count if keys is None else keys,
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.full(count, AT, np.int64),
    )


def decode(*values: bytes | None, keys: list[bytes | None] | None = None):
    return Decoder(1_048_576, 300, lambda: NOW).decode(records(list(values), keys))


def observation(**changes: object) -> bytes:
    event = {"patient_id": "p1", "observed_at": AT, "values": {"HR": 80, "Temp": 36.6}} | changes
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def test_an_observation_becomes_a_row() -> None:
    decoded = decode(observation())
    row = decoded.events.values[0]
    assert row[INDEX["HR"]] == 80
    assert row[INDEX["Temp"]] == np.float32(36.6)
    assert np.isnan(row).sum() == len(VARIABLES) - 2
    assert decoded.events.observed_at[0] == AT
    assert decoded.events.patients == [b"p1"]


def test_an_admission_carries_its_statics_in_the_models_coding() -> None:
    static = {"age": 63, "sex": "male", "height": -1, "unit_type": "medical"}
    admission = observation(type="admission", static=static, values=...)
    events = decode(observation(), admission).events
    assert list(events.kinds) == [Kind.OBSERVATION, Kind.ADMISSION]
    np.testing.assert_array_equal(events.statics, np.array([[63, 1, np.nan, np.nan, 3]], np.float32))
    assert np.isnan(events.values[1]).all()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"type": "discharge"}, Kind.DISCHARGE),
        ({"type": "discharge", "outcome": "home", "cancel": False}, Kind.DISCHARGE),
        ({"type": "discharge", "cancel": True}, Kind.CANCELLATION),
        ({"type": "transfer", "bed": "7"}, Kind.TRANSFER),
        ({"type": "transfer", "unit": "icu-2", "bed": "7"}, Kind.TRANSFER),
    ],
)
def test_what_is_not_measured_is_an_event_too(changes: dict[str, object], kind: Kind) -> None:
    events = decode(observation(**changes, values={"HR": 80}), observation()).events
    assert list(events.kinds) == [kind, Kind.OBSERVATION]
    assert np.isnan(events.values[0]).all()
    assert len(events.statics) == 0


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, Code.EMPTY),
        (b"", Code.EMPTY),
        (b"\xff\xfe", Code.NOT_UTF8),
        (b"{", Code.NOT_JSON),
        (b"[]", Code.WRONG_FIELD),
        (observation(values=...), Code.MISSING_FIELD),
        (observation(patient_id=...), Code.MISSING_FIELD),
        (observation(observed_at="today"), Code.WRONG_FIELD),
        (observation(observed_at=-1), Code.WRONG_FIELD),
        (observation(observed_at=AT // 1000), Code.WRONG_FIELD),
        (observation(values=None), Code.WRONG_FIELD),
        (observation(values=[80]), Code.WRONG_FIELD),
        (observation(values={"HR": "80"}, observed_at=None), Code.WRONG_FIELD),
        (observation(values={"HR": "80"}, observed_at=...), Code.MISSING_FIELD),
        (observation(observed_at=10**400), Code.WRONG_FIELD),
        (observation(observed_at=0).replace(b" 0", b" 1" + b"0" * 5000), Code.WRONG_FIELD),
        (observation(type="discharge", encounter_id=5), Code.WRONG_FIELD),
        (observation(type="admission", encounter_id="\ud800"), Code.WRONG_FIELD),
        (observation(type="transfer", bed="7", encounter_id=["e1"]), Code.WRONG_FIELD),
        (observation(type="transfer"), Code.MISSING_FIELD),
        (observation(type="transfer", bed=7), Code.MISSING_FIELD),
        (observation(type="discharge", cancel="yes"), Code.WRONG_FIELD),
        (observation(type="discharge", cancel=1), Code.WRONG_FIELD),
        (observation(type="discharge", cancel=None), Code.WRONG_FIELD),
        (observation(patient_id="p2"), Code.KEY_MISMATCH),
        (observation(type="telepathy"), Code.UNKNOWN_TYPE),
        (observation(type=["observation"]), Code.UNKNOWN_TYPE),
        (observation(observed_at=AT + 300_001), Code.FUTURE),
        (observation(type="discharge", observed_at=AT + 300_001), Code.FUTURE),
        (observation(note="x" * 1_048_576), Code.TOO_LARGE),
        (observation(note=...)[:-1] + b',"n":' + b"[" * 40 + b"]" * 40 + b"}", None),
        (b"[" * 100_000, Code.TOO_DEEP),
        (
            observation(
                values={"HR": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
            ),
            Code.TOO_DEEP,
        ),
    ],
)
def test_the_reason_is_named_and_the_neighbours_are_unharmed(value: bytes | None, code: Code | None) -> None:
    decoded = decode(observation(), value, observation(), keys=[b"p1"] * 3)
    assert decoded.refused.codes == ([] if code is None else [code])
    assert decoded.refused.rows == ([] if code is None else [1])
    assert len(decoded.events) == 3 - len(decoded.refused)
    np.testing.assert_array_equal(decoded.events.rows, [0, 1, 2] if code is None else [0, 2])


def test_without_a_key_an_event_is_refused() -> None:
    assert decode(observation(), keys=[None]).refused.codes == [Code.KEY_MISMATCH]


def test_single_bad_values_are_dropped_and_counted() -> None:
    decoded = decode(observation(values={"HR": 80, "Temp": 0, "SysABP": -1, "Mood": 3}))
    assert decoded.dropped == {Dropped.UNKNOWN_VARIABLE: 1, Dropped.IMPLAUSIBLE: 2}
    assert np.flatnonzero(~np.isnan(decoded.events.values[0])).tolist() == [INDEX["HR"]]


def test_the_same_event_id_or_the_same_bytes_give_the_same_digest() -> None:
    first = observation(event_id="e1", values={"HR": 80})
    again = observation(event_id="e1", values={"HR": 80.0})
    digests = decode(
        first, again, observation(), observation(), observation(values={"HR": 81})
    ).events.digests
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests.tolist())) == 3


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
json_values = (
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=4), scalars, max_size=2)
)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "patient_id": st.just("p1") | json_values,
        "observed_at": st.integers(0, 2 * AT) | json_values,
        "values": st.dictionaries(st.sampled_from(["HR", "Temp", "x"]), st.floats(0, 200) | json_values)
        | json_values,
        "type": st.sampled_from(["observation", "admission", "transfer", "discharge"]) | json_values,
        "event_id": json_values,
        "encounter_id": json_values,
        "unit": json_values,
        "bed": json_values,
        "cancel": json_values,
        "static": json_values,
        "outcome": json_values,
    },
)


@given(st.lists(nearly.map(lambda event: json.dumps(event).encode()) | st.binary(max_size=40), max_size=4))
@example([observation(observed_at=1.0)])
@example([observation(observed_at=1.5)])
@example([observation(patient_id="\ud800")])
@example([b'{"patient_id":"p1","observed_at":1,"values":{"HR":1,"HR":2}}'])
@example([b'{"patient_id":"p1","observed_at":10000000000000000000000,"values":{}}'])
@example([observation(note=0).replace(b": 0", b": 1" + b"0" * 5000)])
def test_the_fast_path_accepts_what_the_contract_accepts(values: list[bytes]) -> None:
    decoded = decode(*values)
    expected, codes = [], []
    for row, value in enumerate(values):
        try:
            event, _ = reasons.validate(value, 1_048_576)
        except reasons.InvalidRecord as invalid:
            codes.append((row, invalid.code))
            continue
        if event.patient_id != "p1":
            codes.append((row, Code.KEY_MISMATCH))
        elif event.observed_at > AT + 300_000:
            codes.append((row, Code.FUTURE))
        else:
            expected.append(row)
    assert decoded.events.rows.tolist() == expected
    assert list(zip(decoded.refused.rows, decoded.refused.codes, strict=True)) == codes


pieces = st.sampled_from(
    [
        (observation(), b"p1"),
        (observation(event_id="e1", values={"HR": 1e9, "x": 1}), b"p1"),
        (observation(type="admission", values=..., static={"age": 63}), b"p1"),
        (observation(type="discharge", values=...), b"p1"),
        (observation(type="transfer", values=..., unit="icu-2", bed="7"), b"p1"),
        (observation(encounter_id="e1", unit="icu-2"), b"p1"),
        (observation(values={"HR": "80", "Temp": None, "SaO2": 97}), b"p1"),
        (observation(values={"HR": "80"}, unit=5), b"p2"),
        (observation(observed_at=float(AT)), b"p1"),  # refused: no integer
        (observation(), b"p2"),
        (observation(type="admission", values=..., static={"age": 64}), b"p2"),
        (observation(observed_at=AT + 300_001), b"p1"),
        (observation(note="x" * 2000), b"p1"),
        (observation()[:-1], b"p1"),
        (None, b"p1"),
        (b"", None),
    ]
)


@given(st.lists(pieces, max_size=12))
def test_any_mixture_decodes_as_its_records_one_by_one(
    mixture: list[tuple[bytes | None, bytes | None]],
) -> None:
    decoder = Decoder(1000, 300, lambda: NOW)
    values, keys = [value for value, _ in mixture], [key for _, key in mixture]
    together = decoder.decode(records(values, keys))
    alone = [decoder.decode(records([value], [key])) for value, key in mixture]
    events = [one.events for one in alone]
    refused = [(row, code) for row, one in enumerate(alone) for code in one.refused.codes]
    assert together.events.rows.tolist() == [row for row, one in enumerate(events) if len(one)]
    assert list(zip(together.refused.rows, together.refused.codes, strict=True)) == refused
    assert +together.dropped == sum((one.dropped for one in alone), Counter())
    assert together.events.names == {key: name for one in events for key, name in one.names.items()}
    assert together.events.patients == [patient for one in events for patient in one.patients]
    for column in ("kinds", "observed_at", "digests", "values", "statics", "places"):
        parts = [getattr(one, column) for one in events]
        expected = np.concatenate(parts) if parts else getattr(together.events, column)
        np.testing.assert_array_equal(getattr(together.events, column), expected)


def test_an_odd_record_makes_no_other_slow_and_none_is_parsed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    slow: list[bytes | None] = []
    fast, validate = decoder_module._fast, reasons.validate
    monkeypatch.setattr(decoder_module, "_fast", lambda value: parsed.append(value) or fast(value))
    monkeypatch.setattr(reasons, "validate", lambda value, most: slow.append(value) or validate(value, most))
    odd = [observation(type="discharge", values=...), b"{"]
    values = [observation(), odd[0], observation(), observation(), odd[1], observation()]
    decode(*values)
    assert parsed == values
    assert slow == odd
