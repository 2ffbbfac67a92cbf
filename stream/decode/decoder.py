"""Decoder: the JSON values of a micro-batch to columns, and what is not an event to a reason.

The fast path (msgspec) takes plain observations. What it does not take goes, alone, through the slow path
(pydantic, `stream.decode.reasons`), which either accepts it after all (other kinds of events, and those with
a field that cannot be read, without that field) or gives the reason. Both accept the same observations, but
for one thing: in a field that is ignored, the fast path does not look at depth and UTF-8.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain, compress, repeat
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from model.variables import INDEX, STATIC_RANGES, STATICS, VARIABLES, Sex, UnitType
from stream.columns.events import Code, Dropped, Events, Kind, Refused, hashed
from stream.columns.records import Records
from stream.contracts.events import (
    EARLIEST_MS,
    LATEST_MS,
    Admission,
    Discharge,
    Observation,
    Static,
    Transfer,
)
from stream.decode import reasons

Text = Annotated[str, msgspec.Meta(max_length=256)]
LOW = np.array([variable.low for variable in VARIABLES])
HIGH = np.array([variable.high for variable in VARIABLES])


class _Plain(msgspec.Struct, gc=False):
    """What the rest of the decoder reads of an event; the fast path decodes observations into it."""

    patient_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    observed_at: Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]
    values: dict[str, float | None]
    type: Literal["observation"] = "observation"
    event_id: Text | None = None
    encounter_id: Text | None = None
    unit: Text | None = None
    bed: Text | None = None
    __repr__ = object.__repr__


_fast = msgspec.json.Decoder(_Plain).decode
_NOT_FAST = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Accepted events, refused records, and how many single fields accepted events were left without."""

    events: Events
    refused: Refused
    dropped: Mapping[Dropped, int]


@dataclass(slots=True, repr=False)
class _Sorted:
    """A micro-batch while it is sorted, by its records' rows.

    events: what each record holds, None if that is no event. kinds, statics: of all but observations, and of
    admissions, in ascending order of their rows. dropped: fields that an event is without. refused: why a row
    is not accepted.
    """

    events: list[_Plain | None]
    kinds: dict[int, Kind] = field(default_factory=dict)
    statics: dict[int, list[float]] = field(default_factory=dict)
    dropped: dict[int, Counter[Dropped]] = field(default_factory=dict)
    refused: dict[int, Code] = field(default_factory=dict)

    def accepted(self) -> NDArray[np.bool_]:
        """bool [N]: the rows that are not refused."""
        mask = np.ones(len(self.events), np.bool_)
        mask[list(self.refused)] = False
        return mask


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
        parsed, odd = self._parse(records.values)
        for row in odd:
            self._take_odd(parsed, row, records.values[row])
        self._refuse_strange(parsed, records.keys)
        accepted = parsed.accepted()
        plain: list[_Plain] = _where(parsed.events, accepted)
        dropped = sum((fields for row, fields in parsed.dropped.items() if accepted[row]), Counter[Dropped]())
        values = _matrix([event.values for event in plain], dropped)
        refused = sorted(parsed.refused.items())
        return Decoded(
            _events(records, parsed, accepted, plain, values),
            Refused(records, [row for row, _ in refused], [code for _, code in refused], "decode"),
            dropped,
        )

    def _parse(self, values: list[bytes | None]) -> tuple[_Sorted, list[int]]:
        """What the fast path takes, and the rows that it does not. It continues after each of those: `extend`
        keeps what came before the error, and `map` stands after it."""
        events: list[_Plain | None] = []
        odd = []
        parsed = map(_fast, self._of_good_size(values))
        while len(events) < len(values):
            try:
                events.extend(parsed)
            except _NOT_FAST:
                odd.append(len(events))
                events.append(None)
        return _Sorted(events), odd

    def _of_good_size(self, values: list[bytes | None]) -> list[bytes]:
        """Without the values that are too large to be parsed."""
        if max(map(len, filter(None, values)), default=0) > self._max_bytes:
            values = [value if value and len(value) <= self._max_bytes else None for value in values]
        return values  # type: ignore[return-value]  # the fast path raises for None

    def _take_odd(self, parsed: _Sorted, row: int, value: bytes | None) -> None:
        try:
            event, dropped = reasons.validate(value, self._max_bytes)
        except reasons.InvalidRecord as invalid:
            parsed.refused[row] = invalid.code
            return
        parsed.dropped[row] = dropped
        if not isinstance(event, Observation):
            parsed.kinds[row] = _kind(event)
        if isinstance(event, Admission):
            parsed.statics[row] = _static_row(event.static, dropped)
        parsed.events[row] = _Plain(
            event.patient_id,
            event.observed_at,
            event.values if isinstance(event, Observation) else {},
            event_id=event.event_id,
            encounter_id=event.encounter_id,
            unit=event.unit,
            bed=event.bed,
        )

    def _refuse_strange(self, parsed: _Sorted, keys: list[bytes | None]) -> None:
        """Refuse the events that are not their key's, and those ahead of the clock."""
        latest = int((self._clock() + self._max_future) * 1000)
        accepted = parsed.accepted()
        plain: list[_Plain] = _where(parsed.events, accepted)
        keys = _where(keys, accepted)
        patients = [event.patient_id.encode() for event in plain]
        if patients == keys and max([event.observed_at for event in plain], default=0) <= latest:
            return
        rows = np.flatnonzero(accepted).tolist()
        for row, event, patient, key in zip(rows, plain, patients, keys, strict=True):
            if patient != key:
                parsed.refused[row] = Code.KEY_MISMATCH
            elif event.observed_at > latest:
                parsed.refused[row] = Code.FUTURE


def _kind(event: Admission | Transfer | Discharge) -> Kind:
    if isinstance(event, Discharge):
        return Kind.CANCELLATION if event.cancel else Kind.DISCHARGE
    return Kind.ADMISSION if isinstance(event, Admission) else Kind.TRANSFER


def _where(column: list[Any], mask: NDArray[np.bool_]) -> list[Any]:
    """The rows where `mask`, bool [N], is true."""
    return column if mask.all() else list(compress(column, mask.tolist()))


def _events(
    records: Records,
    parsed: _Sorted,
    accepted: NDArray[np.bool_],
    plain: list[_Plain],
    values: NDArray[np.float32],
) -> Events:
    """accepted: bool [N] of the records. plain, values: of those."""
    rows = np.flatnonzero(accepted)
    kinds = np.zeros(len(records), np.int8)
    kinds[list(parsed.kinds)] = list(parsed.kinds.values())
    statics = [static for row, static in parsed.statics.items() if accepted[row]]
    named = [
        row
        for row, event in enumerate(plain)
        if event.event_id or event.encounter_id or event.unit or event.bed
    ]
    places, names = _places(plain, named)
    return Events(
        records=records,
        rows=rows,
        patients=_where(records.keys, accepted),
        partitions=records.partitions[rows],
        offsets=records.offsets[rows],
        timestamps=records.timestamps[rows],
        kinds=kinds[rows],
        observed_at=np.fromiter([event.observed_at for event in plain], np.int64, len(rows)),
        digests=_digests(plain, named, _where(records.values, accepted)),
        values=values,
        statics=np.array(statics, np.float32).reshape(-1, len(STATICS)),
        places=places,
        names=names,
    )


def _digests(plain: list[_Plain], named: list[int], values: list[bytes]) -> NDArray[np.uint64]:
    """named: the rows that may have an `event_id`. values: the bytes of each event."""
    hashed = list(values)
    for row in named:
        if event_id := plain[row].event_id:
            hashed[row] = event_id.encode()
    return np.fromiter(map(xxhash.xxh3_64_intdigest, hashed), np.uint64, len(hashed))


def _places(plain: list[_Plain], named: list[int]) -> tuple[NDArray[np.uint64], dict[int, str]]:
    """`places` and `names` of `Events`. named: the rows that may have one."""
    texts = [
        text or ""
        for event in map(plain.__getitem__, named)
        for text in (event.encounter_id, event.unit, event.bed)
    ]
    hashes = {text: hashed(text) for text in set(texts) - {""}}
    places = np.zeros((len(plain), 3), np.uint64)
    places[named] = np.fromiter(map(hashes.get, texts, repeat(0)), np.uint64, len(texts)).reshape(-1, 3)
    return places, {number: text for text, number in hashes.items()}


def _matrix(measured: list[dict[str, float | None]], dropped: Counter[Dropped]) -> NDArray[np.float32]:
    """Values as float32 [N, V], NaN where not measured; what is left out is added to `dropped`."""
    sizes = np.fromiter(map(len, measured), np.int64, len(measured))
    total = int(sizes.sum())
    columns = np.fromiter(map(INDEX.get, chain.from_iterable(measured), repeat(-1)), np.int64, total)
    numbers = _numbers(measured, total) + 0.0  # -0.0 is 0
    known = columns >= 0
    plausible = known & (numbers >= LOW[columns]) & (numbers <= HIGH[columns])
    cells = np.repeat(np.arange(len(measured)) * len(VARIABLES), sizes) + columns
    matrix = np.full((len(measured), len(VARIABLES)), np.nan, np.float32)
    if plausible.all():
        matrix.ravel()[cells] = numbers
        return matrix
    matrix.ravel()[cells[plausible]] = numbers[plausible]
    implausible = known & ~plausible & ~np.isnan(numbers)
    for code, left_out in ((Dropped.UNKNOWN_VARIABLE, ~known), (Dropped.IMPLAUSIBLE, implausible)):
        if count := int(np.count_nonzero(left_out)):
            dropped[code] += count
    return matrix


def _numbers(measured: list[dict[str, float | None]], total: int) -> NDArray[np.float64]:
    """float64 [total], NaN for null."""
    given = chain.from_iterable(map(dict.values, measured))
    try:
        return np.fromiter(given, np.float64, total)
    except TypeError:
        return np.array([*chain.from_iterable(map(dict.values, measured))], np.float64)


def _static_row(static: Static, dropped: Counter[Dropped]) -> list[float]:
    """The statics in the model's order and coding; NaN where unknown, or implausible, which is counted."""
    row = []
    for name in STATICS:
        given = getattr(static, name)
        if name == "sex":
            given = None if given is None else Sex[given.upper()].value
        elif name == "unit_type":
            given = None if given is None else UnitType[given.upper()].value
        elif given is not None and not STATIC_RANGES[name].low <= given <= STATIC_RANGES[name].high:
            given = None
            dropped[Dropped.IMPLAUSIBLE] += 1
        row.append(float("nan") if given is None else float(given))
    return row
