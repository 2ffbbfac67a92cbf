"""Decoder: the JSON values of a micro-batch to columns, and what is not an event to a reason.

The fast path (msgspec) takes plain observations; whatever it does not take goes through the slow path
(pydantic, `stream.decode.reasons`), which either accepts it after all (admissions, discharges) or
gives the reason. Both accept the same observations, but for one thing: in a field that is ignored, the
fast path does not look at depth and UTF-8.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Annotated, Literal

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from model.variables import INDEX, STATIC_RANGES, STATICS, VARIABLES, Sex, UnitType
from stream.contracts import EARLIEST_MS, LATEST_MS, Admission, Discharge, Observation, Static
from stream.decode import reasons
from stream.records import Code, Events, Kind, Records, Refused

Text = Annotated[str, msgspec.Meta(max_length=256)]
LOW = np.array([variable.low for variable in VARIABLES])
HIGH = np.array([variable.high for variable in VARIABLES])


class _Plain(msgspec.Struct, gc=False):
    """What the rest of the decoder reads of an event; the fast path decodes observations into it."""

    patient_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    observed_at: Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]
    values: dict[str, float]
    type: Literal["observation"] = "observation"
    event_id: Text | None = None
    unit: Text | None = None


_fast = msgspec.json.Decoder(_Plain).decode
_NOT_FAST = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Accepted events, refused records, and the single values that were dropped from accepted events."""

    events: Events
    refused: Refused
    unknown_variables: int
    implausible_values: int


@dataclass(slots=True)
class _Sorted:
    """Accepted and refused rows while a micro-batch is sorted."""

    rows: list[int]
    plain: list[_Plain]
    kinds: dict[int, Kind]
    statics: list[list[float]]
    refused_rows: list[int]
    refused_codes: list[Code]

    def refuse(self, row: int, code: Code) -> None:
        self.refused_rows.append(row)
        self.refused_codes.append(code)


class Decoder:
    """Pure but for the clock. Never raises for what a record holds.

    max_bytes: larger values are refused. max_future: seconds that `observed_at` may be ahead of
    `clock`, which returns seconds since the Unix epoch.
    """

    def __init__(self, max_bytes: int, max_future: float, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._max_future = max_future
        self._clock = clock

    def decode(self, records: Records) -> Decoded:
        """Decode every record: each is afterwards in `events` or in `refused`, once."""
        sorted_ = self._sort(records)
        values, unknown, implausible = _matrix([plain.values for plain in sorted_.plain])
        events = self._events(records, sorted_, values)
        refused = Refused(records, sorted_.refused_rows, sorted_.refused_codes, "decode")
        return Decoded(events, refused, unknown, implausible)

    def _sort(self, records: Records) -> _Sorted:
        latest = int((self._clock() + self._max_future) * 1000)
        plain = self._all_plain(records, latest)
        if plain is not None:
            return _Sorted(list(range(len(plain))), plain, {}, [], [], [])
        return self._sort_one_by_one(records, latest)

    def _all_plain(self, records: Records, latest: int) -> list[_Plain] | None:
        """The records, if all are plain observations with nothing wrong: most batches, without a loop."""
        try:
            if max(map(len, records.values), default=0) > self._max_bytes:  # type: ignore[arg-type]
                return None
            plain = list(map(_fast, records.values))  # type: ignore[arg-type]
            if [event.patient_id.encode() for event in plain] != records.keys:
                return None
        except _NOT_FAST:
            return None
        in_time = max([event.observed_at for event in plain], default=0) <= latest
        return plain if in_time else None

    def _sort_one_by_one(self, records: Records, latest: int) -> _Sorted:
        out = _Sorted([], [], {}, [], [], [])
        limit = self._max_bytes
        take, keep = out.plain.append, out.rows.append
        for row, (value, key) in enumerate(zip(records.values, records.keys, strict=True)):
            try:
                if len(value) > limit:  # type: ignore[arg-type]
                    raise ValueError
                plain = _fast(value)  # type: ignore[arg-type]
                matches = plain.patient_id.encode() == key
            except _NOT_FAST:
                self._sort_slowly(out, row, value, key, latest)
                continue
            if not matches:
                out.refuse(row, Code.KEY_MISMATCH)
            elif plain.observed_at > latest:
                out.refuse(row, Code.FUTURE)
            else:
                take(plain)
                keep(row)
        return out

    def _sort_slowly(
        self, out: _Sorted, row: int, value: bytes | None, key: bytes | None, latest: int
    ) -> None:
        try:
            event = reasons.validate(value, self._max_bytes)
            if event.patient_id.encode("utf-8", "surrogatepass") != key:
                raise reasons.Refusal(Code.KEY_MISMATCH)
            if event.observed_at > latest:
                raise reasons.Refusal(Code.FUTURE)
        except reasons.Refusal as refusal:
            out.refuse(row, refusal.code)
            return
        if isinstance(event, Admission):
            out.kinds[len(out.plain)] = Kind.ADMISSION
            out.statics.append(_static_row(event.static))
        elif isinstance(event, Discharge):
            out.kinds[len(out.plain)] = Kind.DISCHARGE
        measured = event.values if isinstance(event, Observation) else {}
        out.plain.append(_Plain(event.patient_id, event.observed_at, measured, event_id=event.event_id))
        out.rows.append(row)

    def _events(self, records: Records, sorted_: _Sorted, values: NDArray[np.float32]) -> Events:
        rows, plain = sorted_.rows, sorted_.plain
        count = len(rows)
        everything = count == len(records)
        index = np.array(rows, np.int64)
        keys = records.keys if everything else [records.keys[row] for row in rows]
        raw = records.values if everything else [records.values[row] for row in rows]
        kinds = np.zeros(count, np.int8)
        kinds[list(sorted_.kinds)] = list(sorted_.kinds.values())
        named = [
            event.event_id.encode("utf-8", "surrogatepass") if event.event_id else value
            for event, value in zip(plain, raw, strict=True)
        ]
        return Events(
            records=records,
            rows=index,
            patients=keys,  # type: ignore[arg-type]  # an accepted event's key equals its patient id
            partitions=records.partitions[index],
            offsets=records.offsets[index],
            timestamps=records.timestamps[index],
            kinds=kinds,
            observed_at=np.fromiter([event.observed_at for event in plain], np.int64, count),
            digests=np.fromiter(map(xxhash.xxh3_64_intdigest, named), np.uint64, count),  # type: ignore[arg-type]
            values=values,
            statics=np.array(sorted_.statics, np.float32).reshape(-1, len(STATICS)),
        )


def _matrix(measured: list[dict[str, float]]) -> tuple[NDArray[np.float32], int, int]:
    """Values as float32 [N, V], NaN where not measured; how many were unknown, how many implausible."""
    sizes = np.fromiter(map(len, measured), np.int64, len(measured))
    total = int(sizes.sum())
    columns = np.fromiter(map(INDEX.get, chain.from_iterable(measured), repeat(-1)), np.int64, total)
    numbers = np.fromiter(chain.from_iterable(map(dict.values, measured)), np.float64, total)
    known = columns >= 0
    plausible = known & (numbers >= LOW[columns]) & (numbers <= HIGH[columns])
    cells = np.repeat(np.arange(len(measured)) * len(VARIABLES), sizes) + columns
    matrix = np.full((len(measured), len(VARIABLES)), np.nan, np.float32)
    if plausible.all():
        matrix.ravel()[cells] = numbers
        return matrix, 0, 0
    matrix.ravel()[cells[plausible]] = numbers[plausible]
    return matrix, int((~known).sum()), int((known & ~plausible).sum())


def _static_row(static: Static) -> list[float]:
    """The statics in the model's order and coding; NaN where unknown or implausible."""
    row = []
    for name in STATICS:
        given = getattr(static, name)
        if name == "sex":
            given = None if given is None else Sex[given.upper()].value
        elif name == "unit_type":
            given = None if given is None else UnitType[given.upper()].value
        elif given is not None and not STATIC_RANGES[name].low <= given <= STATIC_RANGES[name].high:
            given = None
        row.append(float("nan") if given is None else float(given))
    return row
