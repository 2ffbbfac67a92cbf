"""Frozen values that cross rooms. A batch is columns: row i of each column is one record or event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import chain
from typing import Any, NamedTuple, Self, overload

import numpy as np
import xxhash
from numpy.typing import NDArray

Headers = list[tuple[str, bytes | None]]

ERROR_PREFIX = "vitalstream.error."
"""How the headers begin that the worker gives a dead letter; its own stand behind those of the record."""


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class HeaderColumn(Sequence[Headers]):
    """The headers of N records, read from the client's messages when they are asked for: few ever are."""

    def __init__(self, messages: list[Any], read: Callable[[Any], Headers]) -> None:
        self._messages, self._read = messages, read

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, row: int) -> Headers: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Headers]: ...
    def __getitem__(self, row: int | slice) -> Headers | Sequence[Headers]:
        if isinstance(row, slice):
            return HeaderColumn(self._messages[row], self._read)
        return self._read(self._messages[row])

    def take(self, rows: Iterable[int]) -> HeaderColumn:
        return HeaderColumn([self._messages[row] for row in rows], self._read)

    @classmethod
    def concat(cls, parts: Iterable[HeaderColumn]) -> HeaderColumn:
        """One after the other. `parts` are of one client, at least one."""
        parts = list(parts)
        return cls([message for part in parts for message in part._messages], parts[0]._read)


@dataclass(frozen=True, slots=True, repr=False)
class Records:
    """What a source polled from one topic: bytes and coordinates, nothing parsed.

    Records of one partition stand in offset order; partitions may alternate.

    partitions: int32 [N]. offsets: int64 [N]. timestamps: int64 [N], ms since the Unix epoch.
    headers: one list a record, or None if the source was not asked for them.
    """

    topic: str
    values: list[bytes | None]
    keys: list[bytes | None]
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    headers: HeaderColumn | None = None

    def __len__(self) -> int:
        return len(self.values)

    def keep(self, mask: NDArray[np.bool_]) -> Self:
        """The records where `mask`, bool [N], is true."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        return type(self)(
            self.topic,
            [self.values[row] for row in kept],
            [self.keys[row] for row in kept],
            self.partitions[kept],
            self.offsets[kept],
            self.timestamps[kept],
            None if self.headers is None else self.headers.take(kept),
        )

    def without(self, places: Set[tuple[int, int]]) -> Self:
        """The records at other places than these, partition and offset."""
        if not places:
            return self
        rows = zip(self.partitions.tolist(), self.offsets.tolist(), strict=True)
        return self.keep(np.array([place not in places for place in rows], np.bool_))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """One after the other. `parts` are of one topic, at least one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return cls(
            first.topic,
            list(chain.from_iterable(part.values for part in parts)),
            list(chain.from_iterable(part.keys for part in parts)),
            np.concatenate([part.partitions for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            None
            if first.headers is None
            else HeaderColumn.concat(part.headers for part in parts if part.headers is not None),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """Records for one topic, to be sent in this order.

    partitions: int32 [N], or None to let the key decide (murmur2, as the Java client does).
    timestamps: int64 [N], ms since the Unix epoch, or None for now.
    """

    topic: str
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    partitions: NDArray[np.int32] | None = None
    timestamps: NDArray[np.int64] | None = None
    headers: Sequence[Headers] | None = None

    def __len__(self) -> int:
        return len(self.values)


class Kind(IntEnum):
    """What an event is, as it stands in `Events.kinds`. A cancellation takes a discharge back."""

    OBSERVATION = 0
    ADMISSION = 1
    DISCHARGE = 2
    CANCELLATION = 3
    TRANSFER = 4


def hashed(text: str) -> int:
    """Return what stands in `Events.places`, and in a stay, for a text; 0 for an empty one."""
    return xxhash.xxh3_64_intdigest(text.encode()) if text else 0


class Dropped(StrEnum):
    """Why a single field of an accepted event was left out: the metric label `code`."""

    UNKNOWN_VARIABLE = "unknown_variable"
    IMPLAUSIBLE = "implausible"
    NOT_A_NUMBER = "not_a_number"
    WRONG_FIELD = "wrong_field"


class Code(StrEnum):
    """Why an event was refused: the header `vitalstream.error.code` and the metric label `code`."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    WRONG_FIELD = "wrong_field"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    FUTURE = "future"
    PAST = "past"
    DUPLICATE = "duplicate"
    EARLIER_STAY = "earlier_stay"
    OTHER_ENCOUNTER = "other_encounter"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, repr=False)
class Events:
    """Accepted events of one micro-batch, in the order in which they were polled.

    records, rows: the records that they came from; `rows` is int64 [N].
    patients: the record's key, which is the UTF-8 patient id.
    kinds: int8 [N] of `Kind`. observed_at: int64 [N], ms since the Unix epoch.
    digests: uint64 [N], hash of the event's `event_id`, or of its bytes where it has none.
    values: float32 [N, V], clinical units, NaN where not measured.
    statics: float32 [M, S] of the M admissions among the events, in their order; NaN where unknown.
    places: uint64 [N, 3], hashes of the encounter, unit and bed that an event names, 0 if it names none.
    names: the text of each hash.
    """

    records: Records
    rows: NDArray[np.int64]
    patients: list[bytes]
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    kinds: NDArray[np.int8]
    observed_at: NDArray[np.int64]
    digests: NDArray[np.uint64]
    values: NDArray[np.float32]
    statics: NDArray[np.float32]
    places: NDArray[np.uint64]
    names: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.patients)

    def keep(self, mask: NDArray[np.bool_]) -> Self:
        """The events where `mask`, bool [N], is true."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        return type(self)(
            self.records,
            self.rows[kept],
            [self.patients[row] for row in kept],
            self.partitions[kept],
            self.offsets[kept],
            self.timestamps[kept],
            self.kinds[kept],
            self.observed_at[kept],
            self.digests[kept],
            self.values[kept],
            self.statics[mask[self.kinds == Kind.ADMISSION]],
            self.places[kept],
            self.names,
        )

    def refuse(self, mask: NDArray[np.bool_], code: Code, stage: str) -> Refused:
        """The events where `mask`, bool [N], is true, refused for one reason."""
        rows = self.rows[mask].tolist()
        return Refused(self.records, rows, [code] * len(rows), stage)


@dataclass(frozen=True, slots=True)
class Refused:
    """Records that were not accepted: row `rows[i]` of `records`, for reason `codes[i]`, at `stage`."""

    records: Records
    rows: Sequence[int]
    codes: Sequence[Code]
    stage: str

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Packing:
    """The layout of `torch.nn.utils.rnn.PackedSequence`: wave k holds event k of each patient.

    order: int64 [N], row of the micro-batch that stands at each packed position.
    sizes: int64 [K], patients in each wave, never increasing; they sum to N.
    groups: int64 [sizes[0]], the group code of each patient, longest run first. Wave k covers
        exactly the first `sizes[k]` of them.
    """

    order: NDArray[np.int64]
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Contributions:
    """What moved M of a batch's scores most: K variables each, the largest effect first.

    rows: int64 [M], of the scores. The rest is [M, K]: variables: int64, places in `model.variables`.
    effects: float32, change of the risk's log-odds. values: float32, last measured, NaN where there is no
    further variable. previous: float32, measured before that, NaN if never; gaps: float32, hours between the
    two. extremes: int8, 1 for the highest of the stay, -1 for the lowest, else 0. ages: float32, hours since
    the last was measured.
    """

    rows: NDArray[np.int64]
    variables: NDArray[np.int64]
    effects: NDArray[np.float32]
    values: NDArray[np.float32]
    previous: NDArray[np.float32]
    gaps: NDArray[np.float32]
    extremes: NDArray[np.int8]
    ages: NDArray[np.float32]


@dataclass(frozen=True, slots=True, repr=False)
class Scores:
    """What the stepper says of `events`: row i of each column is event i, admissions and observations only.

    risk: float32 [N], calibrated probability. counts: int64 [N], events of the stay so far.
    late: bool [N], older than an event that was applied before. closed: bool [N], of a stay that has ended.
    vitals: float32 [N, K], last value, by event time, of each of `stream.state.stays.VITALS`, NaN if never.
    ages: float32 [N, K], hours since it was measured. places: uint64 [N, 3], as in `Events`, of the stay.
    contributions: of the scores that are to be explained.
    """

    events: Events
    risk: NDArray[np.float32]
    counts: NDArray[np.int64]
    late: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    vitals: NDArray[np.float32]
    ages: NDArray[np.float32]
    places: NDArray[np.uint64]
    contributions: Contributions | None = None

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far what came lately is from what the model was made with, as population stability indices
    (`stream.drift.stability`): NaN where too little came, or nothing is known of the model.

    values: float64 [V], of each variable's values. measured: float64 [V], of how often it is measured.
    """

    values: NDArray[np.float64]
    measured: NDArray[np.float64]
    risk: float

    @classmethod
    def unknown(cls, variables: int) -> Self:
        return cls(np.full(variables, np.nan), np.full(variables, np.nan), np.nan)


@dataclass(frozen=True, slots=True, repr=False)
class Assessment:
    """What the last vital signs say of each of N patients.

    stale: int64 [N], bit i set where vital sign i (`model.variables.VITAL_SIGNS`) is stale or was never
    measured. news2: int64 [N], 0 to 20; a missing or stale parameter counts 0. complete: bool [N].
    """

    stale: NDArray[np.int64]
    news2: NDArray[np.int64]
    complete: NDArray[np.bool_]
