"""Which slot of the arena is whose. Pure Python and numpy: knows neither device nor Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from stream.errors import StateError

Slot = NDArray[np.int64]
FREE = -1


class Slots:
    """Maps (partition, patient) to a slot below `capacity`. A patient that appears in two partitions
    has two slots: their logs have no common order."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._by_patient: dict[int, dict[bytes, int]] = {}
        self._patient: list[bytes | None] = [None] * capacity
        self._partition = np.full(capacity, FREE, np.int32)
        self._used = np.zeros(capacity, np.int64)
        self._free = list(range(capacity - 1, -1, -1))
        self._turn = 0

    def __len__(self) -> int:
        """Slots that are taken."""
        return self.capacity - len(self._free)

    @property
    def free(self) -> int:
        return len(self._free)

    def find(self, patients: Sequence[bytes], partitions: NDArray[np.int32]) -> Slot:
        """The slot of each row, `FREE` if the patient has none. Begins a turn: those found are
        not idle until the next."""
        self._turn += 1
        slots = np.empty(len(patients), np.int64)
        for partition, rows in _runs(partitions):
            lookup = self._by_patient.setdefault(partition, {}).get
            names = patients if len(rows) == len(patients) else [patients[row] for row in rows.tolist()]
            slots[rows] = np.fromiter(map(lookup, names, repeat(FREE)), np.int64, len(rows))
        self._used[slots[slots != FREE]] = self._turn
        return slots

    def take(self, owners: Iterable[tuple[int, bytes]]) -> Slot:
        """A free slot for each (partition, patient), none of which has one. Raises `StateError`."""
        taken = []
        for partition, patient in owners:
            if not self._free:
                raise StateError("no slot is free; raise max_resident_patients")
            slot = self._free.pop()
            self._by_patient.setdefault(partition, {})[patient] = slot
            self._patient[slot] = patient
            self._partition[slot] = partition
            taken.append(slot)
        out = np.array(taken, np.int64)
        self._used[out] = self._turn
        return out

    def release(self, slots: Slot) -> None:
        """Free these slots; those that are free already stay so."""
        for slot in slots.tolist():
            patient = self._patient[slot]
            if patient is None:
                continue
            del self._by_patient[int(self._partition[slot])][patient]
            self._patient[slot] = None
            self._partition[slot] = FREE
            self._free.append(slot)

    def of_partition(self, partition: int) -> Slot:
        """Every slot taken by a patient of this partition."""
        return np.flatnonzero(self._partition == partition)

    def owners(self, slots: Slot) -> tuple[NDArray[np.int32], list[bytes]]:
        """The partitions, int32 [N], and the patients of slots that are taken."""
        return self._partition[slots], [self._patient[slot] or b"" for slot in slots.tolist()]

    def idlest(self, count: int) -> Slot:
        """The `count` slots idle for the most turns, never one used in this turn; fewer if there
        are fewer."""
        idle = np.flatnonzero((self._partition != FREE) & (self._used != self._turn))
        if len(idle) <= count:
            return idle
        return idle[np.argpartition(self._used[idle], count)[:count]]

    def grow(self, capacity: int) -> None:
        """Add free slots up to `capacity`."""
        more = capacity - self.capacity
        self._free[:0] = range(capacity - 1, self.capacity - 1, -1)
        self._patient.extend([None] * more)
        self._partition = np.concatenate([self._partition, np.full(more, FREE, np.int32)])
        self._used = np.concatenate([self._used, np.zeros(more, np.int64)])
        self.capacity = capacity


def _runs(partitions: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each distinct partition with its rows."""
    for partition in np.unique(partitions).tolist():
        yield partition, np.flatnonzero(partitions == partition)
