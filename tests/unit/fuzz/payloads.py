"""Payloads that are nearly events: structures that Hypothesis made, and real events with bytes changed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model.variables import NAMES
from tests.support.memory import Record

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", "\x00", "1e999", "NaN", "p" * 257])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
measured = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=4), st.floats(-10, 300) | json_values, max_size=6
)
statics = st.fixed_dictionaries(
    {},
    optional={
        "age": st.floats(0, 200) | json_values,
        "sex": st.sampled_from(["male", "female"]) | json_values,
        "height": st.floats(-1, 300) | json_values,
        "weight": st.floats(-1, 500) | json_values,
        "unit_type": st.sampled_from(["medical", "surgical", "coronary_care"]) | json_values,
    },
)


def events(now_ms: int) -> st.SearchStrategy[object]:
    return (
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["observation", "admission", "discharge"]) | json_values,
                "patient_id": st.sampled_from(["p1", "p2", "é", '"', "\\", "\x00"]) | json_values,
                "observed_at": st.integers(now_ms - 10**9, now_ms) | json_values,
                "values": measured | json_values,
                "static": statics | json_values,
                "event_id": st.text(max_size=6) | json_values,
                "unit": json_values,
                "outcome": json_values,
                "more": json_values,
            },
        )
        | json_values
    )


def structures(count: int, now_ms: int) -> list[bytes]:
    """JSON of structures that Hypothesis makes; the same for the same arguments."""
    found: list[bytes] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(events(now_ms))
    def collect(event: object) -> None:
        found.append(json.dumps(event).encode())

    collect()
    return found


def flip(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)


def overwrite(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    payload[rng.randrange(len(payload))] = rng.randrange(256)


def insert(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randint(0, len(payload))
    payload[at:at] = rng.choice(SPICES)


def delete(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(payload))
    del payload[at : at + rng.randint(1, 12)]


def truncate(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    del payload[rng.randint(0, len(payload)) :]


def splice(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(corpus)
    payload[rng.randint(0, len(payload)) :] = other[rng.randint(0, len(other)) :]


def digit(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    """Another digit for one: most are events still, of other times and values."""
    digits = [at for at, byte in enumerate(payload) if 48 <= byte <= 57]
    if digits:
        payload[rng.choice(digits)] = rng.randint(48, 57)


def number(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    found = list(re.finditer(rb"(?<=:)-?[0-9.]+", payload))
    if found:
        place = rng.choice(found)
        payload[place.start() : place.end()] = rng.choice(NUMBERS)


def member(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    """Another member at the start of an object, where the last of a name counts, or at its end."""
    found = list(re.finditer(rb"[{}]", payload))
    if found:
        place = rng.choice(found)
        spice = rng.choice(MEMBERS)
        text = spice + b"," if place.group() == b"{" else b"," + spice
        at = place.end() if place.group() == b"{" else place.start()
        payload[at:at] = text


def kind(payload: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    kinds = rb"observation|admission|discharge"
    payload[:] = re.sub(kinds, rng.choice([b"observation", b"admission", b"discharge"]), payload, count=1)


NUMBERS = [
    b"0", b"-0", b"-1", b"0.21", b"1e38", b"1e-300", b"1e308", b"99999", b"1.0",
    b"123456789012345678901234567890",
]  # fmt: skip
MEMBERS = [
    b'"values":{}', b'"HR":0', b'"Lactate":34.9', b'"type":"discharge"', b'"type":"admission"',
    b'"more":' + b"[" * 40 + b"]" * 40, b'"event_id":"a"', b'"unit":null', b'"more":[[[{}]]]',
    b'"static":{"age":40,"sex":"male"}', b'"":0', b'"\\u0048R":7',
]  # fmt: skip
SPICES = [
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"', b"\\", b"{", b"}", b"[" * 40, b"]", b",", b":",
    b"null", b"NaN", b"-", b"1e999", b"9" * 400, b"0", b".", b"e9", b" ", b"\xef\xbb\xbf",
]  # fmt: skip
MUTATIONS: list[Callable[[bytearray, Sequence[bytes], random.Random], None]] = [
    flip, overwrite, insert, delete, truncate, splice, digit, digit, number, number, member, member, kind,
]  # fmt: skip


def mutated(real: Sequence[Record], made: Sequence[bytes], count: int, seed: int) -> Iterator[Record]:
    """`count` records: mutations of `real` ones under their keys, `made` ones, mutated or as they are, under
    the patient id that they give, if any, and now and then the one before once more."""
    rng = random.Random(seed)
    corpus = [value for _, value in real if value] + list(made)
    record: Record = None, None
    for _ in range(count):
        if rng.random() > 0.02:
            record = _real(real, corpus, rng) if rng.random() < 0.7 else _made(made, corpus, rng)
        yield record


def _real(real: Sequence[Record], corpus: Sequence[bytes], rng: random.Random) -> Record:
    key, value = rng.choice(real)
    return key, _mutate(value or b"", corpus, rng)


def _made(made: Sequence[bytes], corpus: Sequence[bytes], rng: random.Random) -> Record:
    value = rng.choice(made)
    if rng.random() < 0.5:
        value = _mutate(value, corpus, rng)
    return patient_of(value), value


def _mutate(value: bytes, corpus: Sequence[bytes], rng: random.Random) -> bytes:
    payload = bytearray(value)
    for mutate in rng.choices(MUTATIONS, k=rng.choice((1, 1, 1, 2, 3))):
        if payload:
            mutate(payload, corpus, rng)
    return bytes(payload)


def patient_of(payload: bytes) -> bytes | None:
    try:
        return str(json.loads(payload)["patient_id"]).encode("utf-8", "surrogatepass")
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
