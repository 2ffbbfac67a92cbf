"""What events report of a patient, each with its place in the input: what the worker refused is taken
back."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from stream.columns.records import Place

MOST_ALIKE = 2


class _Fact(msgspec.Struct, frozen=True, order=True, gc=False):
    """In the order of the fields."""

    __repr__ = object.__repr__

    @property
    def content(self) -> tuple[object, ...]:
        """Without the place."""
        names = (name for name in self.__struct_fields__ if name not in ("offset", "partition"))
        return tuple(getattr(self, name) for name in names)


class Sighting(_Fact, frozen=True, order=True, gc=False):
    """That something happened."""

    at: int
    offset: int
    partition: int


class Reading(_Fact, frozen=True, order=True, gc=False):
    """A value. The greatest counts: the newest, of equally new ones the best, of equally good ones the one
    reported last. rank: how good the variable is."""

    at: int
    rank: int
    offset: int
    partition: int
    value: float


class Saying(_Fact, frozen=True, order=True, gc=False):
    """Where the patient is; an empty text is unknown."""

    at: int
    offset: int
    partition: int
    unit: str
    bed: str


class Notice(_Fact, frozen=True, order=True, gc=False):
    """A discharge, or that there was none. encounter: empty if not named."""

    offset: int
    partition: int
    at: int
    cancel: bool
    encounter: str


FactT = TypeVar("FactT", Sighting, Reading, Saying, Notice)


class Latest(Generic[FactT]):
    """The greatest few, in ascending order. Of those that say the same, the first two in the log: repeats,
    which are refused, never push out what counts."""

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[FactT] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[FactT]:
        return iter(self._kept)

    def add(self, fact: FactT) -> None:
        insort(self._kept, fact)
        alike = [kept for kept in self._kept if kept.at == fact.at and kept.content == fact.content]
        if len(alike) > MOST_ALIKE:
            self._kept.remove(max(alike, key=lambda kept: kept.offset))
        del self._kept[: -self._most]

    def take_back(self, place: Place) -> None:
        """Remove what the event at this place reported, if anything."""
        self._kept = [fact for fact in self._kept if (fact.partition, fact.offset) != place]


class Whereabouts:
    """Unit and bed, each with the time since which it holds: moved in the order of the log, it comes to what
    the worker knows. A bed is one of its unit: it is unknown after the move to another."""

    __slots__ = ("_bed_at", "_unit_at", "bed", "unit")

    def __init__(self) -> None:
        self.unit = self.bed = ""
        self._unit_at = self._bed_at = 0

    def moved(self, at: int, unit: str, bed: str) -> None:
        """Take a report of an event; an empty text changes nothing."""
        if unit and at >= self._unit_at:
            if unit != self.unit and self._bed_at < at:
                self.bed, self._bed_at = "", at
            self.unit, self._unit_at = unit, at
        if bed and at >= self._bed_at:
            self.bed, self._bed_at = bed, at

    def scored(self, at: int, unit: str, bed: str) -> None:
        """Take what a score reports, which it repeats at every event: only another unit or bed is new."""
        self.moved(at, unit if unit != self.unit else "", bed if bed != self.bed else "")
