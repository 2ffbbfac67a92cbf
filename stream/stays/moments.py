"""The columns of a micro-batch that the walk of the stays reads, and those that it writes. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Events, Kind
from stream.stays.record import BEDSIDE_COLUMNS, PLACE, VITAL_COLUMNS, VITALS


class Lanes:
    """Packed order as G lanes, one a patient, longest first. waves: int64 [N], of each event the number of
    its wave; its patient has had as many events before. rows: int64 [N], its lane. before: int64 [N - G], of
    each event after the first wave's the position of the patient's event before."""

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        count = int(sizes.sum())
        self.sizes = sizes
        self.waves = np.repeat(np.arange(len(sizes)), sizes)
        self.rows = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.before = np.arange(sizes[:1].sum(), count) - np.repeat(sizes[:-1], sizes[1:])

    def part(self, chosen: NDArray[np.bool_]) -> Lanes:
        """The lanes of the chosen events, bool [N]: all of some patients."""
        return Lanes(np.bincount(self.waves[chosen]))

    def previous(self, known: NDArray[Any], column: NDArray[Any]) -> NDArray[Any]:
        """[N]: what `column`, [N], holds of the patient's event before; of the first `known`, [G]."""
        return np.concatenate([known, column[self.before]])


class Columns:
    """Arrays of N rows each, which the subclass names."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]

    def part(self, rows: slice | NDArray[Any]) -> Self:
        """These rows: views, if they are a slice."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__match_args__))


@dataclass(frozen=True, slots=True, repr=False)
class Moments(Columns):
    """What N events say that a stay needs to know, in packed order. observed_at, stream_times: int64 [N] ms;
    the latter is the latest `observed_at` in the event's partition so far, this included (Kafka Streams'
    stream time). values: float32 [N, K] of `VITALS`. The rest as in `stream.columns.events.Events`."""

    kinds: NDArray[np.int8]
    observed_at: NDArray[np.int64]
    offsets: NDArray[np.int64]
    stream_times: NDArray[np.int64]
    digests: NDArray[np.uint64]
    places: NDArray[np.uint64]
    values: NDArray[np.float32]

    @property
    def sure(self) -> NDArray[np.bool_]:
        """bool [N]: the patient is here, and of the encounter that the event names. A laboratory measures
        nothing at the bed, and often numbers the visits in its own way."""
        measured = ~np.isnan(self.values[:, BEDSIDE_COLUMNS])
        sure: NDArray[np.bool_] = measured.any(axis=1) | (self.kinds != Kind.OBSERVATION)
        return sure

    @classmethod
    def of(cls, events: Events, stream_times: NDArray[np.int64], order: NDArray[np.int64]) -> Self:
        return cls(
            events.kinds[order],
            events.observed_at[order],
            events.offsets[order],
            stream_times[order],
            events.digests[order],
            events.places[order],
            events.values.take(VITAL_COLUMNS, axis=1).take(order, axis=0),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Trace(Columns):
    """What the stays leave of N events in packed order. ahead: int64 [N], ms since the stay's latest event
    before, meaningless at the first. started_at, observed_at, events, closed_at, vitals, measured_at:
    as in `stream.stays.record.STAY`, after the event. The rest as in `stream.stays.walk.Timeline`."""

    codes: NDArray[np.int8]
    described: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    ahead: NDArray[np.int64]
    started_at: NDArray[np.int64]
    observed_at: NDArray[np.int64]
    events: NDArray[np.int64]
    closed_at: NDArray[np.int64]
    vitals: NDArray[np.float32]
    measured_at: NDArray[np.int64]
    places: NDArray[np.uint64]

    @classmethod
    def blank(cls, count: int) -> Self:
        def column(dtype: type, *width: int) -> NDArray[Any]:
            return np.zeros((count, *width), dtype)

        return cls(
            codes=column(np.int8),
            described=column(np.bool_),
            silent=column(np.bool_),
            ahead=column(np.int64),
            started_at=column(np.int64),
            observed_at=column(np.int64),
            events=column(np.int64),
            closed_at=column(np.int64),
            vitals=column(np.float32, len(VITALS)),
            measured_at=column(np.int64, len(VITALS)),
            places=column(np.uint64, len(PLACE)),
        )

    def put(self, rows: NDArray[np.bool_], part: Trace) -> None:
        """Set these rows."""
        for name in self.__match_args__:
            getattr(self, name)[rows] = getattr(part, name)
