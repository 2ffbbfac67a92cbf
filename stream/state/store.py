"""State store: the resident patients' state on the device, the evicted ones' in host memory.

What a slot holds on the device: the model's row (float32 [D], meaning known to the model alone). On the
host: its stay (`stream.state.stays.STAY`) and the digest of its last event. A slot is cleared when it is
freed and again when it is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.state.slots import FREE, Slot, Slots
from stream.state.stays import STAY


@dataclass(frozen=True, slots=True)
class Evicted:
    """One patient's state in host memory."""

    row: NDArray[np.float32]
    stay: np.void
    digest: np.uint64


class StateStore:
    """Grows by doubling from `initial` to `maximum` resident patients, then evicts the longest idle.

    fresh: float32 [D], the row of a patient of whom nothing is known; its device is the arena's.
    """

    def __init__(self, fresh: Tensor, initial: int, maximum: int) -> None:
        self._fresh = fresh
        self._maximum = maximum
        self._slots = Slots(min(initial, maximum))
        self._rows = fresh.repeat(self._slots.capacity, 1)
        self._stays = np.zeros(self._slots.capacity, STAY)
        self._digests = np.zeros(self._slots.capacity, np.uint64)
        self._evicted: dict[int, dict[bytes, Evicted]] = {}

    @property
    def resident(self) -> int:
        return len(self._slots)

    @property
    def evicted(self) -> int:
        return sum(map(len, self._evicted.values()))

    @property
    def bytes_per_patient(self) -> int:
        """Device memory of one slot."""
        return self._rows[0].nbytes

    def admit(self, patients: list[bytes], partitions: NDArray[np.int32]) -> Slot:
        """The slot of each row's patient, int64 [N]; those without one take one, with their evicted
        state where there is such. Raises `StateError` where a batch holds more patients than
        `maximum`."""
        slots = self._slots.find(patients, partitions)
        missing = np.flatnonzero(slots == FREE).tolist()
        if not missing:
            return slots
        owners = list(dict.fromkeys((int(partitions[row]), patients[row]) for row in missing))
        self._make_room(len(owners))
        taken = self._slots.take(owners)
        self._clear(taken)
        self._bring_back(owners, taken)
        slot_of = dict(zip(owners, taken.tolist(), strict=True))
        slots[missing] = [slot_of[int(partitions[row]), patients[row]] for row in missing]
        return slots

    def rows(self, slots: Slot) -> Tensor:
        """A copy of the rows [G, D] of `slots`, on the device."""
        return self._rows.index_select(0, self._index(slots))

    def stays(self, slots: Slot) -> NDArray[np.void]:
        """A copy of the stays, `STAY` [G], of `slots`."""
        return self._stays[slots]

    def write(self, slots: Slot, rows: Tensor, stays: NDArray[np.void]) -> None:
        """Set rows [G, D] and stays, `STAY` [G], of `slots`, all distinct."""
        self._rows.index_copy_(0, self._index(slots), rows)
        self._stays[slots] = stays

    def digests(self, slots: Slot) -> NDArray[np.uint64]:
        return self._digests[slots]

    def remember(self, slots: Slot, digests: NDArray[np.uint64]) -> None:
        """Keep each row's digest; where a slot stands several times the last row counts."""
        self._digests[slots] = digests

    def release(self, slots: Slot) -> None:
        """Discharge: clear these slots and free them."""
        self._clear(slots)
        self._slots.release(slots)

    def drop(self, partition: int) -> None:
        """Forget every patient of a partition, resident or evicted."""
        self.release(self._slots.of_partition(partition))
        self._evicted.pop(partition, None)

    def _index(self, slots: Slot) -> Tensor:
        return torch.from_numpy(slots).to(self._fresh.device)

    def _clear(self, slots: Slot) -> None:
        self._rows.index_copy_(0, self._index(slots), self._fresh.expand(len(slots), -1))
        self._stays[slots] = 0
        self._digests[slots] = 0

    def _make_room(self, wanted: int) -> None:
        while self._slots.free < wanted and self._slots.capacity < self._maximum:
            self._grow(min(2 * self._slots.capacity, self._maximum))
        if self._slots.free < wanted:
            self._evict(max(wanted - self._slots.free, self._slots.capacity // 64))

    def _grow(self, capacity: int) -> None:
        more = capacity - self._slots.capacity
        self._slots.grow(capacity)
        rows = self._rows.new_empty(capacity, self._rows.shape[1])
        rows[:-more] = self._rows
        self._rows = rows
        self._stays = np.concatenate([self._stays, np.zeros(more, STAY)])
        self._digests = np.concatenate([self._digests, np.zeros(more, np.uint64)])

    def _evict(self, count: int) -> None:
        slots = self._slots.idlest(count)
        kept = zip(self.rows(slots).cpu().numpy(), self._stays[slots], self._digests[slots], strict=True)
        for (partition, patient), (row, stay, digest) in zip(self._slots.owners(slots), kept, strict=True):
            self._evicted.setdefault(partition, {})[patient] = Evicted(row.copy(), stay.copy(), digest)
        self.release(slots)

    def _bring_back(self, owners: list[tuple[int, bytes]], taken: Slot) -> None:
        if not self._evicted:
            return
        found = [self._evicted.get(partition, {}).pop(patient, None) for partition, patient in owners]
        back = [(slot, kept) for slot, kept in zip(taken.tolist(), found, strict=True) if kept]
        if not back:
            return
        slots = np.array([slot for slot, _ in back])
        rows = torch.from_numpy(np.stack([kept.row for _, kept in back]))
        self.write(slots, rows.to(self._fresh.device), np.array([kept.stay for _, kept in back], STAY))
        self._digests[slots] = [kept.digest for _, kept in back]
