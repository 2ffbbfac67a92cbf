"""Kafka records as columns: row i of each column is one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

Headers = list[tuple[str, bytes | None]]

Place = tuple[int, int]
"""Partition and offset."""


ERROR_PREFIX = "vitalstream.error."
"""How the headers begin that the worker gives a dead letter; its own stand behind those of the record."""


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
        """The records whose `mask`, bool [N], is true."""
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

    def next_offsets(self) -> dict[int, int]:
        """For each partition the offset after its last record."""
        return {
            partition: int(self.offsets[self.partitions == partition].max()) + 1
            for partition in np.unique(self.partitions).tolist()
        }

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
