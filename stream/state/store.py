"""State store: the resident patients' state on the device, the evicted ones' in host memory.

What a slot holds on the device: the model's row (float32 [D], meaning known to the model alone). On the
host, in columns that no model touches: its stay (`stream.stays.record.STAY`). A slot is cleared when it is
freed and again when it is taken. What changed since it was last asked is kept for the changelog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.state.changelog import Changes, End, Patients
from stream.state.evicted import Evicted, EvictedStates
from stream.state.names import Names
from stream.state.slots import FREE, Slot, Slots
from stream.state.stream_times import StreamTimes
from stream.stays.record import PLACE, STAY, replace, selected

NONE: Mapping[bytes, End] = MappingProxyType({})


class StateStore:
    """Grows by doubling from `initial` to `maximum` resident patients, then evicts the longest idle.

    fresh: float32 [D], the row of a patient of whom nothing is known; its device is the arena's. names: the
    texts whose hashes the stays have.
    """

    def __init__(self, fresh: Tensor, initial: int, maximum: int) -> None:
        self._fresh = fresh
        self._maximum = maximum
        self._slots = Slots(min(initial, maximum))
        capacity = self._slots.capacity
        self._rows = fresh.repeat(capacity, 1)
        self._stays = np.zeros(capacity, STAY)
        self._changed = np.zeros(capacity, np.bool_)
        self._logged = np.zeros(capacity, np.bool_)  # the changelog has a record of it, or will
        self._changes: list[Changes] = []
        self._ended: dict[tuple[int, bytes], End] = {}
        self._evicted = EvictedStates()
        self._stream_times = StreamTimes()
        self._expires_from: dict[int, int] = {}  # no resident of the partition expires before, ms
        self.names = Names()

    @property
    def resident(self) -> int:
        return len(self._slots)

    @property
    def evicted(self) -> int:
        return sum(map(len, self._evicted.values()))

    @property
    def changed(self) -> int:
        """Resident patients whose state changed since `take_changes`."""
        return int(np.count_nonzero(self._changed))

    @property
    def bytes_per_patient(self) -> int:
        """Device memory of one slot."""
        return self._rows[0].nbytes

    def admit(self, patients: list[bytes], partitions: NDArray[np.int32]) -> Slot:
        """The slot of each row's patient, int64 [N]; those without one take one, with their evicted
        state if there is such. Raises `StateError` if a batch holds more patients than
        `maximum`."""
        slots = self._slots.find(patients, partitions)
        missing = np.flatnonzero(slots == FREE).tolist()
        if not missing:
            return slots
        owners = list(dict.fromkeys((int(partitions[row]), patients[row]) for row in missing))
        taken = self._take(owners)
        self._bring_back(owners, taken)
        slot_of = dict(zip(owners, taken.tolist(), strict=True))
        slots[missing] = [slot_of[int(partitions[row]), patients[row]] for row in missing]
        return slots

    def rows(self, slots: Slot) -> Tensor:
        """A copy of the rows [G, D] of `slots`, on the device."""
        return self._rows.index_select(0, self._index(slots))

    def stays(self, slots: Slot) -> NDArray[np.void]:
        """A copy of the stays, `STAY` [G], of `slots`."""
        return selected(self._stays, slots)

    def next_offsets(self, slots: Slot) -> NDArray[np.int64]:
        """int64 [N]: of each slot the offset after the last event that was applied."""
        return self._stays["next_offset"][slots]

    def write_rows(self, slots: Slot, rows: Tensor) -> None:
        """Set the rows [G, D] of `slots`, all distinct."""
        self._rows.index_copy_(0, self._index(slots), rows)

    def write_stays(self, slots: Slot, stays: NDArray[np.void]) -> None:
        """Set the stays, `STAY` [G], of `slots`, all distinct; free those of whom still nothing is known."""
        replace(self._stays, slots, stays)
        self._changed[slots] = True
        if (closed := stays["closed_at"] > 0).any():
            self._expire_early(slots[closed], stays["expires_at"][closed])
        if (unknown := stays["expires_at"] == 0).any():
            self.release(slots[unknown])

    def _expire_early(self, slots: Slot, expires_at: NDArray[np.int64]) -> None:
        """These may expire before others whose last event is older."""
        for (partition, _), at in zip(self._owners(slots), expires_at.tolist(), strict=True):
            self._expires_from[partition] = min(self._expires_from.get(partition, 0), at)

    def stream_times(
        self, partitions: NDArray[np.int32], observed_at: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """As `StreamTimes.advance`."""
        return self._stream_times.advance(partitions, observed_at)

    def stream_time(self, partition: int) -> int:
        """The latest `observed_at` in a partition, ms; 0 before the first."""
        return self._stream_times.get(partition, 0)

    def release(self, slots: Slot) -> None:
        """The stays of these slots are over: clear and free them; the changelog gets the ends of those it
        knows."""
        for slot, owner in zip(slots.tolist(), self._owners(slots), strict=True):
            if self._logged[slot] or owner in self._ended:
                self._end(owner, self._stays[slot])
        self._free(slots)

    def expire(self, after_ms: int) -> int:
        """Release who has expired by the stream time of the partition in which somebody may have done so
        first; how many. Evicted ones as far as they stand in the order in which they do: the others follow
        later. If nobody can be over, it looks at no patient. after_ms: no stay that is not closed expires
        sooner."""
        if self.names.many:
            self.names.keep(self._places())
        partition = max(self._stream_times, key=self._overdue, default=None)
        if partition is None or self._overdue(partition) <= 0:
            return 0
        now, slots = self._stream_times[partition], self._slots.of_partition(partition)
        expires_at = self._stays["expires_at"][slots]
        over = expires_at < now
        self._expires_from[partition] = int(expires_at[~over].min(initial=now + after_ms))
        self.release(slots[over])
        evicted = self._evicted.expire(partition, now)
        for patient, stay in evicted.items():
            self._end((partition, patient), stay)
        return int(over.sum()) + len(evicted)

    def _places(self) -> NDArray[np.uint64]:
        stays = (self._stays, self._evicted.stays())
        return np.concatenate([part[name] for part in stays for name in PLACE])

    def _overdue(self, partition: int) -> int:
        """An upper bound, ms: who expired before that came back from host memory since, and is found when the
        bound is over."""
        resident, evicted = self._expires_from.get(partition, 0), self._evicted.expires_from(partition)
        expires_from = resident if evicted is None else min(resident, evicted)
        return self._stream_times[partition] - expires_from

    def drop(self, partition: int) -> None:
        """Forget every patient of a partition, resident or evicted, and the changes not yet taken."""
        self._free(self._slots.of_partition(partition))
        self._evicted.pop(partition, None)
        self._stream_times.pop(partition, None)
        self._expires_from.pop(partition, None)
        self._changes = [
            left for change in self._changes if len((left := change.without(partition)).partitions)
        ]
        self._ended = {owner: end for owner, end in self._ended.items() if owner[0] != partition}

    def take_changes(self) -> tuple[list[Changes], dict[tuple[int, bytes], End]]:
        """The states that changed since this was called last, and the stays that ended, by partition and
        patient. Of several states of one patient the last counts."""
        changed = np.flatnonzero(self._changed)
        if len(changed):
            self._log(changed)
        taken = self._changes, self._ended
        self._changes, self._ended = [], {}
        return taken

    def install(
        self,
        partition: int,
        patients: Patients,
        stream_time: int,
        ended: Mapping[bytes, End] = NONE,
        *,
        log: bool = False,
    ) -> None:
        """Take over a partition's state from its changelog; nothing of it is here yet. Those who fell silent
        last become resident, as far as there is room. ended: patients who have no state, but whose events up
        to there are applied. log: all this is other than what the changelog has, and is to be written."""
        if log and len(patients):
            self._changes.append(Changes(patients, np.full(len(patients), partition, np.int32)))
        if log:
            self._ended |= {(partition, patient): end for patient, end in ended.items()}
        self._stream_times[partition] = stream_time
        for text in set(patients.texts):
            self.names.read(text)
        order = np.argsort(patients.stays["expires_at"], kind="stable")
        beyond = max(len(order) - (self._maximum - self.resident), 0)
        away, here = patients.take(order[:beyond]), patients.take(order[beyond:])
        if len(away):
            rows = zip(away.ids, away.rows, away.stays, strict=True)
            self._evicted[partition] = {
                patient: Evicted(row.copy(), stay.copy()) for patient, row, stay in rows
            }
        if len(here):
            slots = self._take([(partition, patient) for patient in here.ids])
            self._restore(slots, here.rows, here.stays)
        if ended:
            slots = self._take([(partition, patient) for patient in ended])
            self._stays["next_offset"][slots] = [end.next_offset for end in ended.values()]
            self._stays["expires_at"][slots] = [end.stream_time for end in ended.values()]
            self._logged[slots] = True

    def _end(self, owner: tuple[int, bytes], stay: np.void) -> None:
        self._ended[owner] = End(int(stay["next_offset"]), self.stream_time(owner[0]))

    def _owners(self, slots: Slot) -> Iterator[tuple[int, bytes]]:
        partitions, ids = self._slots.owners(slots)
        return zip(partitions.tolist(), ids, strict=True)

    def _index(self, slots: Slot) -> Tensor:
        return torch.from_numpy(slots).to(self._fresh.device)

    def _take(self, owners: list[tuple[int, bytes]]) -> Slot:
        self._make_room(len(owners))
        taken = self._slots.take(owners)
        self._clear(taken)
        return taken

    def _free(self, slots: Slot) -> None:
        self._clear(slots)
        self._slots.release(slots)

    def _clear(self, slots: Slot) -> None:
        self._rows.index_copy_(0, self._index(slots), self._fresh.expand(len(slots), -1))
        self._stays[slots] = np.zeros(1, STAY)
        for column in (self._changed, self._logged):
            column[slots] = False

    def _log(self, slots: Slot) -> None:
        """Keep the state of these for the changelog."""
        partitions, ids = self._slots.owners(slots)
        rows = self.rows(slots).cpu().numpy()
        stays = self.stays(slots)
        texts = self.names.written(np.stack([stays[name] for name in PLACE], axis=1))
        self._changes.append(Changes(Patients(ids, rows, stays, texts), partitions))
        if self._ended:
            for owner in self._owners(slots):
                self._ended.pop(owner, None)
        self._changed[slots] = False
        self._logged[slots] = True

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
        self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        self._logged = np.concatenate([self._logged, np.zeros(more, np.bool_)])

    def _evict(self, count: int) -> None:
        slots = self._slots.idlest(count)
        if len(changed := slots[self._changed[slots]]):
            self._log(changed)
        kept = zip(self.rows(slots).cpu().numpy(), self._stays[slots], strict=True)
        for (partition, patient), (row, stay) in zip(self._owners(slots), kept, strict=True):
            self._evicted.setdefault(partition, {})[patient] = Evicted(row.copy(), stay.copy())
        self._free(slots)

    def _bring_back(self, owners: list[tuple[int, bytes]], taken: Slot) -> None:
        if not self._evicted:
            return
        kept = [self._evicted.get(partition, {}).pop(patient, None) for partition, patient in owners]
        back = [(slot, state) for slot, state in zip(taken.tolist(), kept, strict=True) if state]
        if not back:
            return
        slots = np.array([slot for slot, _ in back])
        rows = np.stack([state.row for _, state in back])
        stays = np.array([state.stay for _, state in back], STAY)
        self._restore(slots, rows, stays)

    def _restore(self, slots: Slot, rows: NDArray[np.float32], stays: NDArray[np.void]) -> None:
        """Set slots to what the changelog has of them."""
        self._rows.index_copy_(0, self._index(slots), torch.from_numpy(rows).to(self._fresh.device))
        replace(self._stays, slots, stays)
        self._logged[slots] = True
