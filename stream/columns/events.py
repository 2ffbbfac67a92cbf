"""Events as columns: row i of each column is one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream.columns.records import Records


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
    digests: uint64 [N], hash of the event's `event_id`, or of its bytes if it has none.
    values: float32 [N, V], clinical units, NaN if not measured.
    statics: float32 [M, S] of the M admissions among the events, in their order; NaN if unknown.
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
        """The events whose `mask`, bool [N], is true."""
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
        """The events whose `mask`, bool [N], is true, refused for one reason."""
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

    @property
    def places(self) -> NDArray[np.int64]:
        """int64 [N]: the packed position of each row of the micro-batch."""
        places = np.empty(len(self.order), np.int64)
        places[self.order] = np.arange(len(self.order))
        return places

    def last_events(self) -> Iterator[tuple[slice, slice]]:
        """Wave by wave, the groups that have their last event in it, and these events' packed positions."""
        return last_events(self.sizes.tolist())


def last_events(sizes: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """As `Packing.last_events`, of waves of these sizes."""
    start = 0
    for size, going_on in zip(sizes, [*sizes[1:], 0], strict=False):
        if size > going_on:
            yield slice(going_on, size), slice(start + going_on, start + size)
        start += size
