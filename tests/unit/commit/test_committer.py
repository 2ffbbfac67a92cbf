"""The committer: when an epoch ends, and in which order what is in it becomes durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from stream.columns.records import Outgoing
from stream.commit.committer import MANY, SELDOM, AtLeastOnce, Committer, ExactlyOnce, Guarantee
from stream.errors import CommitError
from stream.state.changelog import PARTITION_KEY, Changelog, Checkpoint
from stream.state.slots import Slot
from stream.state.store import StateStore

INTERVAL, MAX_EVENTS = 0.1, 10_000
CHANGELOG = Changelog("states", "ab" * 32, 3)


class Log:
    """Takes everything in the order in which it is told; refuses to commit while `broken`."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.broken = False
        self.others: dict[int, int] = {}

    def send(self, outgoing: Outgoing) -> None:
        self.told.append(("send", outgoing.topic, list(outgoing.keys)))
        self.last = outgoing

    def flush(self, timeout: float) -> None:
        self.told.append("flush")

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return self.others

    def commit_offsets(self, offsets: Mapping[int, int]) -> None:
        self.told.append(("offsets", dict(offsets)))
        if self.broken:
            raise CommitError("the coordinator is away")

    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None],
    ) -> None:
        self.send(last())
        self.told.append(("transaction", topic, dict(offsets), group))
        if self.broken:
            raise CommitError("the coordinator is away")


class Epochs:
    def __init__(self, guarantee: Callable[[Log], Guarantee], patients: int = 8) -> None:
        self.log, self.now = Log(), 0.0
        self.store = StateStore(torch.zeros(3), 4, patients)
        self.committer = Committer(
            guarantee(self.log), self.store, CHANGELOG, INTERVAL, MAX_EVENTS, lambda: self.now
        )

    def score(self, patient: bytes, partition: int = 0) -> None:
        partitions = np.array([partition], np.int32)
        slots = self.store.admit([patient], partitions)
        self.store.stream_times(partitions, np.array([1000 + len(self.log.told)]))
        self._write(slots)

    def _write(self, slots: Slot) -> None:
        stays = self.store.stays(slots)
        stays["expires_at"] = 1000
        self.store.write_rows(slots, torch.ones(len(slots), 3))
        self.store.write_stays(slots, stays)

    def committed(self) -> list[dict[int, int]]:
        return [told[2] for told in self.log.told if told[0] == "transaction"]

    def score_many(self, known: int, touched: int, events: int = 0) -> None:
        """Events of `touched` of `known` patients, one each where not said; all are logged already."""
        partitions, ids = np.zeros(known, np.int32), [b"%d" % number for number in range(known)]
        slots = self.store.admit(ids, partitions)
        self.store.take_changes()
        some = slots[:touched]
        self._write(some)
        self.committer.add({0: touched}, events or touched)


def exactly_once(log: Log) -> Guarantee:
    return ExactlyOnce(log, "in", lambda: "member")


def at_least_once(log: Log) -> Guarantee:
    return AtLeastOnce(log, log.commit_offsets, log.committed)


def test_exactly_once_the_changelog_goes_before_the_one_commit() -> None:
    epochs = Epochs(exactly_once)
    epochs.score(b"a")
    epochs.score(b"b", 1)
    epochs.score(b"a")
    epochs.committer.add({0: 7, 1: 3}, 3)
    epochs.committer.commit()
    assert epochs.log.told == [
        ("send", "states", [b"a", b"b", PARTITION_KEY, PARTITION_KEY]),
        ("transaction", "in", {0: 7, 1: 3}, "member"),
    ]
    sent = dict(zip(epochs.log.last.keys, epochs.log.last.values, strict=True))
    assert CHANGELOG.checkpoint({PARTITION_KEY: sent[PARTITION_KEY]}) == Checkpoint(3, 1000)


def test_at_least_once_each_is_acknowledged_before_the_next() -> None:
    epochs = Epochs(at_least_once)
    epochs.score(b"a")
    epochs.committer.add({0: 7}, 1)
    epochs.committer.commit()
    assert epochs.log.told == [
        "flush",
        ("send", "states", [b"a", PARTITION_KEY]),
        "flush",
        ("offsets", {0: 7}),
    ]


def test_a_patient_who_did_not_change_is_not_written_again() -> None:
    epochs = Epochs(exactly_once)
    epochs.score(b"a")
    epochs.committer.add({0: 1}, 1)
    epochs.committer.commit()
    epochs.score(b"b")
    epochs.committer.add({0: 2}, 1)
    epochs.committer.commit()
    assert epochs.log.told[2] == ("send", "states", [b"b", PARTITION_KEY])


def test_an_epoch_waits_for_the_interval_or_for_enough_events() -> None:
    epochs = Epochs(exactly_once)
    epochs.committer.add({0: 5}, 5)
    epochs.now = INTERVAL / 2
    epochs.committer.commit_if_due()
    assert epochs.log.told == []
    epochs.now = INTERVAL
    epochs.committer.commit_if_due()
    epochs.committer.add({0: 60}, MAX_EVENTS - 45)
    epochs.committer.commit_if_due()
    assert epochs.committed() == [{0: 5}]
    epochs.committer.add({0: 105}, 45)
    epochs.committer.commit_if_due()
    assert epochs.committed() == [{0: 5}, {0: 105}]


def test_epochs_that_end_late_do_not_put_off_the_next_ones() -> None:
    epochs, ends = Epochs(exactly_once), []
    for millisecond in range(0, 1001, 15):
        epochs.now = millisecond / 1000
        epochs.committer.add({0: millisecond}, 1)
        before = len(epochs.committed())
        epochs.committer.commit_if_due()
        ends += [epochs.now] * (len(epochs.committed()) - before)
    assert len(ends) == 9 and ends[-1] < 0.915
    epochs.now = 5.0
    epochs.committer.commit_if_due()
    epochs.committer.add({0: 2000}, 1)
    epochs.committer.commit_if_due()
    assert len(epochs.committed()) == 10, "a pause is not caught up with"


def test_many_changes_that_will_hardly_be_followed_by_others_are_sent_ahead() -> None:
    epochs = Epochs(exactly_once, 2 * SELDOM * MANY)
    epochs.score_many(SELDOM * MANY, MANY)
    epochs.committer.commit_if_due()
    assert [(told[0], len(told[2])) for told in epochs.log.told] == [("send", MANY)]
    epochs.committer.commit_if_due()
    epochs.committer.commit()
    assert epochs.log.told[1:] == [
        ("send", "states", [PARTITION_KEY]),
        ("transaction", "in", {0: MANY}, "member"),
    ]


@pytest.mark.parametrize(
    ("known", "touched", "events"),
    [(SELDOM * MANY, MANY - 1, MANY), (SELDOM * MANY - 1, MANY, MANY), (SELDOM * MANY, MANY, 2 * MANY + 1)],
    ids=["few changes", "few patients", "many events each"],
)
def test_what_may_well_change_again_waits_for_the_end(known: int, touched: int, events: int) -> None:
    epochs = Epochs(exactly_once, 2 * SELDOM * MANY)
    epochs.score_many(known, touched, events)
    epochs.committer.commit_if_due()
    assert epochs.log.told == []


def test_at_least_once_no_state_is_sent_before_the_scores_are_there() -> None:
    epochs = Epochs(at_least_once, 2 * SELDOM * MANY)
    epochs.score_many(SELDOM * MANY, MANY)
    epochs.committer.commit_if_due()
    assert epochs.log.told == []
    epochs.committer.commit()
    assert epochs.log.told[0] == "flush"


def test_nothing_new_asks_nothing() -> None:
    epochs = Epochs(at_least_once)
    epochs.committer.commit()
    epochs.now = 1.0
    epochs.committer.commit_if_due()
    assert epochs.log.told == []


def test_what_belongs_to_another_is_not_committed() -> None:
    epochs = Epochs(exactly_once)
    epochs.score(b"a", 0)
    epochs.score(b"b", 1)
    epochs.committer.add({0: 7, 1: 3}, 2)
    epochs.store.drop(0)
    epochs.committer.forget([0])
    epochs.committer.commit()
    assert epochs.log.told[0] == ("send", "states", [b"b", PARTITION_KEY])
    assert epochs.log.told[1][2] == {1: 3}


@pytest.mark.parametrize("guarantee", [exactly_once, at_least_once])
def test_a_refused_commit_is_an_error(guarantee: Callable[[Log], Guarantee]) -> None:
    epochs = Epochs(guarantee)
    epochs.committer.add({0: 5}, 5)
    epochs.log.broken = True
    with pytest.raises(CommitError, match="away"):
        epochs.committer.settle()


def test_who_settles_waits_for_the_transaction() -> None:
    epochs = Epochs(exactly_once)
    epochs.committer.add({0: 5}, 5)
    epochs.committer.settle()
    assert [told[0] for told in epochs.log.told[:2]] == ["send", "transaction"]
    assert epochs.log.told[2:] == ["flush"]


def test_who_stood_still_asks_the_group_before_the_states_are_written() -> None:
    epochs = Epochs(at_least_once)
    epochs.committer.begin(0, 3, committed=True)
    epochs.score(b"a")
    epochs.committer.add({0: 7}, 1)
    epochs.log.broken = True
    with pytest.raises(CommitError):
        epochs.committer.commit()
    assert epochs.log.told == ["flush", ("offsets", {0: 3})], "no state of who may be no member any more"


def test_an_epoch_counts_once_it_is_committed() -> None:
    epochs = Epochs(at_least_once)
    epochs.committer.add({0: 5}, 5)
    epochs.log.broken = True
    with pytest.raises(CommitError):
        epochs.committer.commit()
    assert epochs.committer.epochs == 0
    epochs.log.broken = False
    epochs.committer.commit()
    assert epochs.committer.epochs == 1


def test_an_offset_that_the_group_does_not_know_yet_is_committed_without_an_event() -> None:
    epochs = Epochs(exactly_once)
    epochs.committer.begin(0, 3, committed=False)
    epochs.committer.settle()
    assert epochs.committed() == [{0: 3}]


def test_who_began_a_partition_that_another_has_committed_since_writes_no_state() -> None:
    epochs = Epochs(at_least_once)
    epochs.score(b"a")
    epochs.committer.add({0: 7}, 1)
    epochs.log.others = {0: 9}
    with pytest.raises(CommitError, match="another member"):
        epochs.committer.commit()
    assert epochs.log.told == ["flush"]
