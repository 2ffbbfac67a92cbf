import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.errors import StateError
from stream.state.store import StateStore

FRESH = torch.tensor([0.5, -1.0, 0.0])
PATIENT = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"])


class StoreMachine(RuleBasedStateMachine):
    """Admit, write, discharge, drop and evict in any order: a slot only ever shows its own patient."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StateStore(FRESH, 1, 4)
        self.expected: dict[tuple[int, bytes], float] = {}
        self.written = 1.0

    @rule(patients=st.lists(PATIENT, min_size=1, max_size=8), partition=st.integers(0, 1))
    def write(self, patients: list[bytes], partition: int) -> None:
        patients = list(dict.fromkeys(patients))[:4]
        slots = self.store.admit(patients, np.full(len(patients), partition, np.int32))
        assert len(set(slots.tolist())) == len(patients)
        rows, stays = self.store.rows(slots), self.store.stays(slots)
        for patient, row, stay, digest in zip(patients, rows, stays, self.store.digests(slots), strict=True):
            mark = self.expected.get((partition, patient))
            assert row.tolist() == (FRESH.tolist() if mark is None else [mark] * 3)
            assert stay.tolist() == (mark or 0,) * 6
            assert digest == (mark or 0)
        marks = self.written + torch.arange(len(patients))
        stays[:] = [(mark,) * 6 for mark in marks.tolist()]
        self.store.write(slots, marks[:, None].repeat(1, 3), stays)
        self.store.remember(slots, marks.numpy().astype(np.uint64))
        self.expected |= {
            (partition, patient): mark for patient, mark in zip(patients, marks.tolist(), strict=True)
        }
        self.written += len(patients)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def discharge(self, data: st.DataObject) -> None:
        partition, patient = data.draw(st.sampled_from(sorted(self.expected)))
        self.store.release(self.store.admit([patient], np.array([partition], np.int32)))
        del self.expected[partition, patient]

    @rule(partition=st.integers(0, 1))
    def drop(self, partition: int) -> None:
        self.store.drop(partition)
        self.expected = {who: mark for who, mark in self.expected.items() if who[0] != partition}

    @invariant()
    def everybody_is_somewhere(self) -> None:
        assert self.store.resident + self.store.evicted == len(self.expected)
        assert self.store.resident <= 4


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_more_patients_at_once_than_slots_is_an_error_that_says_so() -> None:
    with pytest.raises(StateError, match="max_resident_patients"):
        StateStore(FRESH, 1, 2).admit([b"a", b"b", b"c"], np.zeros(3, np.int32))


def test_a_patient_in_two_partitions_has_two_states() -> None:
    slots = StateStore(FRESH, 1, 8).admit([b"a", b"a", b"a"], np.array([0, 1, 0], np.int32))
    assert slots[0] == slots[2] != slots[1]
