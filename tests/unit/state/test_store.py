from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.errors import StateError
from stream.state.changelog import End, Patients
from stream.state.slots import Slots
from stream.state.store import StateStore
from stream.stays.record import STAY
from tests.support.examples import tries

FRESH = torch.tensor([0.5, -1.0, 0.0])
PATIENT = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"])


def marked(checkpoints: Sequence[float]) -> np.ndarray:
    """A stay for each checkpoint, which stands everywhere in it."""
    stays = np.zeros(len(checkpoints), STAY)
    for name in ("started_at", "expires_at", "next_offset", "events", "admitted_at", "recent", "vitals"):
        shape = (-1, *[1] * (stays[name].ndim - 1))
        stays[name] = np.array(checkpoints).reshape(shape)
    return stays


class StoreMachine(RuleBasedStateMachine):
    """Admit, write, discharge, evict, commit, lose and restore in any order: a slot only ever shows its own
    patient, and what was committed is all that a restored store has."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StateStore(FRESH, 1, 4)
        self.expected: dict[tuple[int, bytes], float] = {}
        self.written = 1.0
        self.log: dict[tuple[int, bytes], float] = {}

    @rule(patients=st.lists(PATIENT, min_size=1, max_size=8), partition=st.integers(0, 1))
    def write(self, patients: list[bytes], partition: int) -> None:
        patients = list(dict.fromkeys(patients))[:4]
        slots = self.store.admit(patients, np.full(len(patients), partition, np.int32))
        assert len(set(slots.tolist())) == len(patients)
        rows, stays = self.store.rows(slots), self.store.stays(slots)
        for patient, row, stay in zip(patients, rows, stays, strict=True):
            checkpoint = self.expected.get((partition, patient))
            assert row.tolist() == (FRESH.tolist() if checkpoint is None else [checkpoint] * 3)
            assert stay == marked([checkpoint or 0])[0]
        checkpoints = self.written + torch.arange(len(patients))
        self.store.write_rows(slots, checkpoints[:, None].repeat(1, 3))
        self.store.write_stays(slots, marked(checkpoints.tolist()))
        self.expected |= {
            (partition, patient): checkpoint
            for patient, checkpoint in zip(patients, checkpoints.tolist(), strict=True)
        }
        self.written += len(patients)

    @rule()
    def commit(self) -> None:
        changes, ended = self.store.take_changes()
        for patients, partitions in changes:
            for place, who in enumerate(zip(partitions.tolist(), patients.ids, strict=True)):
                self.log[who] = float(patients.rows[place, 0])
        for who, end in ended.items():
            assert end.next_offset >= self.log.pop(who), "an end is never behind the state that it ends"
        assert self.log == self.expected

    @rule()
    def die(self) -> None:
        self.store = StateStore(FRESH, 1, 4)
        for partition in (0, 1):
            self.install(partition)

    def install(self, partition: int) -> None:
        """What was committed of a partition is what there is of it now."""
        found = {patient: checkpoint for (at, patient), checkpoint in self.log.items() if at == partition}
        checkpoints = np.array(list(found.values()), np.float32)
        rows = np.repeat(checkpoints[:, None], 3, axis=1)
        patients = Patients(list(found), rows, marked(list(found.values())), [b""] * len(found))
        self.store.install(partition, patients, int(checkpoints.max(initial=0)), {})
        others = {who: checkpoint for who, checkpoint in self.expected.items() if who[0] != partition}
        self.expected = others | {(partition, patient): checkpoint for patient, checkpoint in found.items()}

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def discharge(self, data: st.DataObject) -> None:
        partition, patient = data.draw(st.sampled_from(sorted(self.expected)))
        self.store.release(self.store.admit([patient], np.array([partition], np.int32)))
        del self.expected[partition, patient]

    @rule(partition=st.integers(0, 1))
    def lose_and_get_back(self, partition: int) -> None:
        self.store.drop(partition)
        self.install(partition)

    @invariant()
    def everybody_is_somewhere(self) -> None:
        assert self.store.resident + self.store.evicted == len(self.expected)
        assert self.store.resident <= 4


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=tries(60), stateful_step_count=30, deadline=None)


def test_more_patients_at_once_than_slots_is_an_error_that_says_so() -> None:
    with pytest.raises(StateError, match="max_resident_patients"):
        StateStore(FRESH, 1, 2).admit([b"a", b"b", b"c"], np.zeros(3, np.int32))


def test_a_patient_in_two_partitions_has_two_states() -> None:
    slots = StateStore(FRESH, 1, 8).admit([b"a", b"a", b"a"], np.array([0, 1, 0], np.int32))
    assert slots[0] == slots[2] != slots[1]


def seen(store: StateStore, patient: bytes, at: int, partition: int = 0) -> None:
    """An event of a patient at a stream time."""
    partitions = np.array([partition], np.int32)
    slots = store.admit([patient], partitions)
    (now,) = store.stream_times(partitions, np.array([at]))
    stays = store.stays(slots)
    stays["expires_at"], stays["events"] = now + 1000, 1
    store.write_rows(slots, torch.ones(1, 3))
    store.write_stays(slots, stays)


def tombstones(store: StateStore) -> list[bytes]:
    _, ended = store.take_changes()
    return [patient for _, patient in ended]


def test_who_is_silent_for_long_expires_by_the_time_of_the_own_partition() -> None:
    store = StateStore(FRESH, 1, 8)
    seen(store, b"silent", 1000)
    seen(store, b"elsewhere", 1000, partition=1)
    seen(store, b"talks", 1500)
    store.take_changes()
    seen(store, b"talks", 2000)
    assert store.expire(1000) == 0
    seen(store, b"talks", 2001)
    assert [store.expire(1000) for _ in range(2)] == [0, 1], "one partition at a time"
    assert tombstones(store) == [b"silent"]
    assert store.resident == 2


def test_the_evicted_expire_too() -> None:
    store = StateStore(FRESH, 1, 2)
    for number in range(4):
        seen(store, b"%d" % number, 1000 + number)
    assert (store.resident, store.evicted) == (2, 2)
    store.take_changes()
    seen(store, b"3", 3000)
    assert store.expire(1000) == 3
    assert sorted(tombstones(store)) == [b"0", b"1", b"2"]
    assert (store.resident, store.evicted) == (1, 0)


def test_a_late_event_does_not_turn_the_stream_time_back() -> None:
    store = StateStore(FRESH, 1, 2)
    partitions, times = np.array([0, 0, 1, 0], np.int32), np.array([50, 40, 7, 60])
    assert store.stream_times(partitions, times).tolist() == [50, 50, 7, 60]
    assert store.stream_times(partitions[:1], times[:1]).tolist() == [60]
    assert (store.stream_time(0), store.stream_time(1), store.stream_time(2)) == (60, 7, 0)


def test_a_patient_who_came_and_went_between_two_commits_leaves_no_trace() -> None:
    store = StateStore(FRESH, 1, 2)
    seen(store, b"a", 1)
    store.release(store.admit([b"a"], np.zeros(1, np.int32)))
    assert store.take_changes() == ([], {})


def test_an_end_that_was_restored_skips_what_is_applied_and_goes_when_its_time_is_over() -> None:
    store = StateStore(FRESH, 1, 2)
    nobody = Patients([], np.empty((0, 3), np.float32), np.empty(0, STAY), [])
    store.install(0, nobody, 50, {b"a": End(7, 50)})
    (stay,) = store.stays(store.admit([b"a"], np.zeros(1, np.int32)))
    assert (stay["next_offset"], stay["events"]) == (7, 0)
    seen(store, b"b", 50)
    assert store.expire(1000) == 0
    seen(store, b"b", 51)
    assert store.expire(1000) == 1
    assert tombstones(store) == [b"a"]


def test_who_is_back_before_the_end_is_logged_is_there() -> None:
    store = StateStore(FRESH, 1, 2)
    seen(store, b"a", 1)
    store.take_changes()
    store.release(store.admit([b"a"], np.zeros(1, np.int32)))
    seen(store, b"a", 2)
    changes, ended = store.take_changes()
    assert [change.patients.ids for change in changes] == [[b"a"]]
    assert not ended


def test_while_nobody_can_be_over_expiring_looks_at_no_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateStore(FRESH, 1, 8)
    for partition in (0, 1):
        seen(store, b"a", 1000, partition)
        seen(store, b"b", 1900, partition)
        assert store.expire(1000) == 0
    looked: list[int] = []
    of_partition = Slots.of_partition
    monkeypatch.setattr(
        Slots, "of_partition", lambda slots, one: looked.append(one) or of_partition(slots, one)
    )
    assert [store.expire(1000) for _ in range(3)] == [0, 0, 0]
    assert looked == []
    for partition in (0, 1):
        seen(store, b"b", 2500, partition)
    assert [store.expire(1000) for _ in range(3)] == [1, 1, 0]
    assert sorted(looked) == [0, 1]


steps = st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 700), st.booleans())


@given(st.lists(steps, max_size=60))
def test_in_the_end_those_and_only_those_who_were_silent_for_long_have_expired(
    log: list[tuple[int, int, int, bool]],
) -> None:
    store, latest, now = StateStore(FRESH, 1, 100), dict[tuple[int, int], int](), dict[int, int]()
    for partition, patient, later, tidies in log:
        now[partition] = now.get(partition, 5000) + later
        latest[partition, patient] = now[partition]
        seen(store, b"%d" % patient, now[partition], partition)
        for _ in range(tidies):
            store.expire(1000)
    for _ in now:
        store.expire(1000)
    assert store.resident == sum(now[one] - at <= 1000 for (one, _), at in latest.items())


def test_a_state_that_is_other_than_the_changelogs_is_logged_again() -> None:
    patients = Patients([b"a"], np.zeros((1, 3), np.float32), np.zeros(1, STAY), [b""])
    ended = {b"b": End(0, 5)}
    store = StateStore(FRESH, 1, 4)
    store.install(0, patients, 5, ended)
    assert store.take_changes() == ([], {})
    store = StateStore(FRESH, 1, 4)
    store.install(0, patients, 5, ended, log=True)
    (changes,), ends = store.take_changes()
    assert (changes.patients.ids, changes.partitions.tolist()) == ([b"a"], [0])
    assert ends == {(0, b"b"): End(0, 5)}
