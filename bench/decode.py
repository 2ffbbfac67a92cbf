"""Ways to turn a batch of JSON observations into columns: CPU µs an event.

Each way yields the same columns, checked before it is timed: patient ids as bytes compared with the keys,
observed_at int64 [N], values float32 [N, V] with NaN where not measured, the number of values under unknown
names, and a 64-bit digest of each payload. polars is measured where it is installed; it is no dependency.

    python -m bench.decode [--rounds 9]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json
import xxhash
from pydantic import TypeAdapter

from bench.measure import interleaved, markdown, write
from bench.messages import observations
from model.variables import INDEX, VARIABLES
from stream.contracts.events import Observation

try:
    import polars
except ModuleNotFoundError:
    polars = None

N = 4096
V = len(VARIABLES)
NAMES = [variable.name for variable in VARIABLES]


class Batch(NamedTuple):
    keys: list[bytes]
    payloads: list[bytes]


class Columns(NamedTuple):
    patients: list[bytes]
    disagree: np.ndarray  # bool [N]: the key is not the patient id
    observed_at: np.ndarray
    values: np.ndarray
    unknown: int
    digests: np.ndarray


class NameTable(dict[str, int]):
    """Column of each variable; every other name shares the column after the last, which is thrown away."""

    def __missing__(self, name: str) -> int:
        return V


TABLE = NameTable(INDEX)


def digests(payloads: list[bytes]) -> np.ndarray:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, payloads), np.uint64, len(payloads))


def finish(
    patients: list[bytes], observed_at: np.ndarray, values: np.ndarray, unknown: int, batch: Batch
) -> Columns:
    agree = patients == batch.keys
    disagree = (
        np.zeros(len(patients), bool)
        if agree
        else np.fromiter((a != b for a, b in zip(patients, batch.keys, strict=True)), bool)
    )
    return Columns(patients, disagree, observed_at, values, unknown, digests(batch.payloads))


def scatter(readings: list[dict[str, float]]) -> tuple[np.ndarray, int]:
    """Dictionaries → float32 [N, V] and the number of unknown names, without a Python loop."""
    sizes = np.fromiter(map(len, readings), np.int64, len(readings))
    columns = np.fromiter(map(TABLE.__getitem__, chain.from_iterable(readings)), np.int64, int(sizes.sum()))
    return spread(readings, sizes, columns)


def scatter_by_shape(readings: list[dict[str, float]]) -> tuple[np.ndarray, int]:
    """As `scatter`; looks up the names of an event together, since producers send the same sets again."""
    shapes = list(map(SHAPES.__getitem__, map(tuple, readings)))
    sizes = np.fromiter(map(len, shapes), np.int64, len(readings))
    return spread(readings, sizes, np.frombuffer(b"".join(shapes), np.uint8))


def spread(
    readings: list[dict[str, float]], sizes: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, int]:
    numbers = np.fromiter(chain.from_iterable(map(dict.values, readings)), np.float32, len(columns))
    wide = np.full(len(readings) * (V + 1), np.nan, np.float32)
    wide[np.repeat(np.arange(0, len(wide), V + 1), sizes) + columns] = numbers
    return wide.reshape(-1, V + 1)[:, :V], int((columns == V).sum())


class ShapeTable(dict[tuple[str, ...], bytes]):
    """Columns of each set of names seen, one byte each. Bounded, since strangers choose the names."""

    def __missing__(self, names: tuple[str, ...]) -> bytes:
        if len(self) >= 4096:
            self.clear()
        self[names] = columns = bytes(map(TABLE.__getitem__, names))
        return columns


SHAPES = ShapeTable()


class Event(msgspec.Struct, gc=False):
    patient_id: str
    observed_at: int
    values: dict[str, float]
    type: str = "observation"
    event_id: str | None = None


EVENT = msgspec.json.Decoder(Event)
Scatter = Callable[[list[dict[str, float]]], tuple[np.ndarray, int]]


def columns_of(events: Sequence[Any], batch: Batch, scatter: Scatter = scatter) -> Columns:
    values, unknown = scatter([event.values for event in events])
    times = np.array([event.observed_at for event in events], np.int64)
    return finish([event.patient_id.encode() for event in events], times, values, unknown, batch)


def msgspec_dict(batch: Batch) -> Columns:
    return columns_of(list(map(EVENT.decode, batch.payloads)), batch)


def msgspec_shapes(batch: Batch) -> Columns:
    return columns_of(list(map(EVENT.decode, batch.payloads)), batch, scatter_by_shape)


MANY = msgspec.json.Decoder(list[Event])


def msgspec_list(batch: Batch) -> Columns:
    return columns_of(MANY.decode(b"[" + b",".join(batch.payloads) + b"]"), batch)


Readings = msgspec.defstruct(
    "Readings",
    [(f"v{i}", float, msgspec.field(name=name, default=np.nan)) for i, name in enumerate(NAMES)],
    gc=False,
)
Flat = msgspec.defstruct("Flat", [("patient_id", str), ("observed_at", int), ("values", Readings)], gc=False)
FLAT = msgspec.json.Decoder(Flat)


def msgspec_fields(batch: Batch) -> Columns:
    events = list(map(FLAT.decode, batch.payloads))
    rows = chain.from_iterable([msgspec.structs.astuple(event.values) for event in events])
    values = np.fromiter(rows, np.float32, len(events) * V).reshape(-1, V)
    times = np.array([event.observed_at for event in events], np.int64)
    return finish([event.patient_id.encode() for event in events], times, values, -1, batch)


STRUCT = pa.struct([(name, pa.float32()) for name in NAMES])
SCHEMA = pa.schema([("patient_id", pa.binary()), ("observed_at", pa.int64()), ("values", STRUCT)])
AS_ASKED = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore")


def arrow(batch: Batch) -> Columns:
    lines = pa.py_buffer(b"\n".join(batch.payloads))
    table = pyarrow.json.read_json(
        lines,
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 24),
        parse_options=AS_ASKED,
    )
    ids = table["patient_id"].to_pylist()
    readings = table["values"].combine_chunks().flatten()
    values = np.stack([column.to_numpy(zero_copy_only=False) for column in readings], axis=1)
    return finish(ids, table["observed_at"].to_numpy(), values, -1, batch)


def polars_lines(batch: Batch) -> Columns:
    frame = polars.read_ndjson(
        b"\n".join(batch.payloads),
        schema={
            "patient_id": polars.String,
            "observed_at": polars.Int64,
            "values": polars.Struct(dict.fromkeys(NAMES, polars.Float32)),
        },
    )
    ids = frame["patient_id"].cast(polars.Binary).to_list()
    values = frame["values"].struct.unnest().fill_null(np.nan).to_numpy()
    return finish(ids, frame["observed_at"].to_numpy(), values, -1, batch)


def json_loads(batch: Batch) -> Columns:
    events = list(map(json.loads, batch.payloads))
    values, unknown = scatter([event["values"] for event in events])
    times = np.array([event["observed_at"] for event in events], np.int64)
    return finish([event["patient_id"].encode() for event in events], times, values, unknown, batch)


OBSERVATION = TypeAdapter(Observation)


def pydantic(batch: Batch) -> Columns:
    return columns_of(list(map(OBSERVATION.validate_json, batch.payloads)), batch)


def digests_alone(batch: Batch) -> np.ndarray:
    return digests(batch.payloads)


def parse_alone(batch: Batch) -> list[Any]:
    return list(map(EVENT.decode, batch.payloads))


WAYS: dict[str, tuple[Callable[[Batch], Columns], str]] = {
    "msgspec Struct, values: dict, names looked up by set": (
        msgspec_shapes,
        "as a record a call; 64 sets of names here, so that the table always hits",
    ),
    "msgspec Struct, values: dict, a record a call": (
        msgspec_dict,
        "counts unknown names; each record fails alone",
    ),
    "msgspec Struct, values: dict, one joined array": (
        msgspec_list,
        "one bad record fails the batch; borders between records can be forged",
    ),
    "msgspec Struct of 37 optional floats": (msgspec_fields, "unknown names are not seen"),
    "pyarrow.json, explicit schema, one thread": (
        arrow,
        "unknown names are not seen; one bad record fails the batch; borders can be forged",
    ),
    "json.loads a record": (json_loads, "no types checked; accepts NaN"),
    "pydantic validate_json a record": (pydantic, "the slow path: says what is wrong"),
}
if polars is not None:
    WAYS["polars.read_ndjson (no dependency; all cores)"] = (
        polars_lines,
        "as pyarrow; installed for this table only",
    )
PARTS = {
    "part of the first: parsing (list of Structs)": parse_alone,
    "part of all: xxh3_64 of each payload": digests_alone,
}


def check(batch: Batch) -> None:
    """Every way must tell the same columns, or its time means nothing."""
    wanted = msgspec_dict(batch)
    assert wanted.patients == batch.keys and wanted.unknown > 0
    for name, (way, _) in WAYS.items():
        got = way(batch)
        assert got.patients == wanted.patients and not got.disagree.any(), name
        assert got.unknown in (wanted.unknown, -1), name
        np.testing.assert_array_equal(got.observed_at, wanted.observed_at, name)
        np.testing.assert_array_equal(got.digests, wanted.digests, name)
        np.testing.assert_array_equal(got.values, wanted.values, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    pairs = list(observations(N, patients=50_000, unknown=0.01))
    batch = Batch([key for key, _ in pairs], [payload for _, payload in pairs])
    check(batch)
    calls = {name: way for name, (way, _) in WAYS.items()} | PARTS
    timed = interleaved({name: (lambda way=way: way(batch)) for name, way in calls.items()}, N, rounds, 5)
    size = sum(map(len, batch.payloads)) / N
    rows = [
        (
            name,
            f"{timed[name]['median_us']:.2f}",
            f"{timed[name]['min_us']:.2f}",
            WAYS[name][1] if name in WAYS else "",
        )
        for name in sorted(calls, key=lambda name: (name in PARTS, timed[name]["median_us"]))
    ]
    text = (
        f"Batches of {N} observations, {size:.0f} bytes and 6 values each, 1 % with an unknown variable.\n\n"
    )
    text += markdown(["way", "CPU µs an event, median", "least", "remarks"], rows)
    figures = {"batch": N, "mean_bytes": size, "rounds": rounds, "us_per_event": timed}
    write("decode", "Decoding JSON observations into columns", text, figures)


if __name__ == "__main__":
    main()
