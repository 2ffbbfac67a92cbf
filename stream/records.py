"""Frozen values that cross rooms. A batch is columns: row i of each column is one record or event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Headers = list[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Records:
    """What a source polled from one topic: bytes and coordinates, nothing parsed.

    Records of one partition stand in offset order; partitions may alternate.

    partitions: int32 [N]. offsets: int64 [N]. timestamps: int64 [N], ms since the Unix epoch.
    headers: one list a record, or None where the source was not asked for them.
    """

    topic: str
    values: list[bytes | None]
    keys: list[bytes | None]
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    headers: list[Headers] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
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
