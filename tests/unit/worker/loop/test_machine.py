"""The loop as a state machine: workers that poll, gain and lose partitions, fail, die, are refused and stop,
in any order, against a model of what must be published."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stream import failpoints
from stream.columns.records import Outgoing
from stream.commit import committer
from stream.errors import EpochError, ThreadError
from stream.failpoints import NAMES
from stream.kafka.memory import Cluster, Died
from stream.state.changelog import Changelog
from stream.worker import assembly
from stream.worker.pipeline import Pipeline
from tests.support.armed import CANARY
from tests.support.examples import tries
from tests.unit.worker.loop.ward import PARTITIONS, PATIENTS, Ward
from tests.unit.worker.loop.worker import DEAD_LETTERS, INPUT, SCORES, MemoryWorker

EPOCHS = {"a": 1, "b": 20, "last": 5}
"""Events in an epoch of each worker: in one every batch is committed, in another several are open."""
SLOTS = ("a", "b")
STEPS, EXAMPLES = 40, int(os.environ.get("VITALSTREAM_MACHINE_EXAMPLES", "15"))
SEED = int(os.environ.get("VITALSTREAM_MACHINE_SEED", "27"))
PLACES, RATES = st.integers(0, len(PATIENTS) - 1), st.integers(10, 300)
PARTITION, SLOT = st.integers(0, PARTITIONS - 1), st.sampled_from(SLOTS)
FAILPOINTS = st.one_of(
    st.sampled_from(sorted(NAMES)),
    st.sampled_from(
        ["store.admit.done", "before_step", "store.write_stays.done", "after_step", "encode.encode"]
    ),
    st.sampled_from(["scores_sent", "dead_letters_sent", "commit.add", "before_changelog", "committed"]),
)
"""All of them, and often those between a poll and its commit."""


class Raised(BaseException):
    """What a failpoint raises: none of anybody's errors."""


class Loop(RuleBasedStateMachine):
    """Two workers of one group, one guarantee. Whatever ends a worker, another takes its place."""

    guarantee: ClassVar[str]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.armed: tuple[str, int] | None = None
        failpoints.set_trap(self._spring)
        self.cluster = Cluster(PARTITIONS, INPUT)
        self.ward = Ward(self.cluster)
        self.workers = {slot: self._begin(slot) for slot in SLOTS}

    def _spring(self, name: str) -> None:
        if self.armed and self.armed[0] == name:
            self.armed = (name, self.armed[1] - 1) if self.armed[1] > 1 else None
            if self.armed is None:
                raise Raised(CANARY)

    def _begin(self, slot: str) -> MemoryWorker:
        worker = MemoryWorker(self.cluster, self.guarantee, slot, commit_events=EPOCHS[slot])
        worker.join()
        return worker

    def _do(self, slot: str, call: Callable[[MemoryWorker], object], *, stop: bool = False) -> None:
        """What the worker's `with` does with what is raised in it, and a successor if it ends. The worker
        gets the partitions that nobody owns."""
        worker = self.workers[slot]
        for partition in range(PARTITIONS):
            if partition not in self.cluster.owners:
                self.cluster.give(partition, worker.member)
        try:
            with worker.pipeline if stop else _Ending(worker.pipeline):
                call(worker)
        except (Raised, EpochError, ThreadError, Died):
            stop = True
        if stop:
            worker.member.die()
            self.workers[slot] = self._begin(slot)

    @rule(
        place=PLACES,
        rate=RATES,
        minutes=st.sampled_from((0, 1, 1, 80 * 60)),
        again=st.booleans(),
    )
    def observe(self, place: int, rate: int, minutes: int, again: bool) -> None:
        self.ward.observe(place, rate, minutes, again=again)

    @rule(slot=SLOT, places=st.lists(PLACES, min_size=1, max_size=20), rate=RATES, times=st.integers(1, 3))
    def work(self, slot: str, places: list[int], rate: int, times: int) -> None:
        for place in places:
            self.ward.observe(place, rate, 1)
        self.run_once(slot, times)

    @rule(place=PLACES, what=st.sampled_from(("admit", "discharge", "rubbish")))
    def happen(self, place: int, what: str) -> None:
        getattr(self.ward, what)(place)

    @rule(slot=SLOT, times=st.integers(1, 3))
    def run_once(self, slot: str, times: int) -> None:
        for _ in range(times):
            self._do(slot, MemoryWorker.run_once)

    @rule(partition=PARTITION, slot=SLOT)
    def rebalance(self, partition: int, slot: str) -> None:
        self.cluster.give(partition, self.workers[slot].member)

    @rule(slot=SLOT)
    def lose(self, slot: str) -> None:
        self.cluster.take_all(self.workers[slot].member)

    @rule(slot=SLOT)
    def die(self, slot: str) -> None:
        self.workers[slot].member.die()
        self.workers[slot] = self._begin(slot)

    @rule(slot=SLOT)
    def stop(self, slot: str) -> None:
        self._do(slot, lambda _: None, stop=True)

    @rule(slot=SLOT, name=FAILPOINTS, number=st.sampled_from((1, 1, 2)), place=PLACES)
    def fail(self, slot: str, name: str, number: int, place: int) -> None:
        """A turn in which something raises, after one that may have left an epoch open."""
        self.work(slot, [place], 90, 2)
        self.armed = name, number
        self.work(slot, [place], 95, 1)
        self.armed = None

    @rule(outcome=st.sampled_from(("refused", "unknown")))
    def refuse(self, outcome: str) -> None:
        self.cluster.next_commits = [outcome]

    @precondition(lambda self: self.guarantee == "at_least_once")
    @rule(slot=SLOT, place=PLACES, records=st.integers(0, 4))
    def tear(self, slot: str, place: int, records: int) -> None:
        """The producer dies amid the changelog of an epoch in which a stay goes on and ends."""
        self.ward.observe(place, 70, 1)
        self._do(slot, MemoryWorker.run_once)
        self.ward.observe(place, 80, 1)
        self.ward.discharge(place)
        self.cluster.torn = records
        self._do(slot, MemoryWorker.run_once)
        self.cluster.torn = None

    @invariant()
    def published_is_what_must_be(self) -> None:
        type(self).steps += 1
        self.ward.check(
            exactly_once=self.guarantee == "exactly_once", scores=SCORES, dead_letters=DEAD_LETTERS
        )

    def teardown(self) -> None:
        self.armed, self.cluster.next_commits, self.cluster.torn = None, [], None
        for worker in self.workers.values():
            worker.member.die()
        last = self._begin("last")
        for partition in range(PARTITIONS):
            self.cluster.give(partition, last.member)
        with last.pipeline:
            last.finish()
        failpoints.set_trap(None)
        self.published_is_what_must_be()
        assert all(self.cluster.offsets[partition] == len(log) for partition, log in self._input())

    def _input(self) -> list[tuple[int, list[object]]]:
        return [(at, list(log)) for at, log in enumerate(self.cluster.logs[INPUT]) if log]


class _Ending:
    """A pipeline's `with` of which only an exception is the end."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._pipeline.__exit__(kind, error, None)


class Faulty(Pipeline):
    """A pipeline to put a fault into."""


ENCODE = Changelog.encode


class ExactlyOnceLoop(Loop):
    guarantee = "exactly_once"


class AtLeastOnceLoop(Loop):
    guarantee = "at_least_once"


def run(machine: type[Loop], examples: int) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    print(f"{machine.__name__}: {examples} examples of up to {STEPS} steps, seed {SEED}")
    machine.steps = 0
    run_state_machine_as_test(seed(SEED)(machine), settings=options)
    print(f"{machine.steps} steps")


@pytest.fixture(autouse=True)
def asks_the_group_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock runs in these tests: any time may have passed between two calls."""
    monkeypatch.setattr(committer, "MEMBERSHIP_S", -1.0)


@pytest.mark.parametrize("machine", [ExactlyOnceLoop, AtLeastOnceLoop])
def test_the_loop_publishes_what_it_must_whatever_happens(machine: type[Loop]) -> None:
    run(machine, tries(EXAMPLES))


def commits_what_failed(pipeline: Pipeline) -> None:
    """A dirty close as it must not be: the open epoch is committed."""
    with suppress(EpochError):
        pipeline._committer.settle()
    Pipeline.close_dirty(pipeline)


def bare_tombstones(changelog: Changelog, changes: Any, checkpoints: Any, ended: Any = None) -> Outgoing:
    """A changelog as it must not be: a stay's end leaves nothing but a tombstone, before the checkpoint."""
    states, over = ENCODE(changelog, changes, checkpoints), list(ended or {})
    assert states.partitions is not None
    return Outgoing(
        states.topic,
        [*[None] * len(over), *states.values],
        [*(patient for _, patient in over), *states.keys],
        np.concatenate([np.array([at for at, _ in over], np.int32), states.partitions]),
    )


@pytest.mark.parametrize(
    ("machine", "owner", "name", "fault"),
    [
        (ExactlyOnceLoop, Faulty, "close_dirty", commits_what_failed),
        (AtLeastOnceLoop, Changelog, "encode", bare_tombstones),
    ],
    ids=["a dirty close commits", "a tombstone stands alone"],
)
@pytest.mark.long
def test_the_machine_finds_a_fault_that_was(
    machine: type[Loop], owner: type, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "Pipeline", Faulty)
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises((AssertionError, ExceptionGroup)) as found:
        run(machine, 10 * EXAMPLES)
    assert "AssertionError" in repr(found.value)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", [ExactlyOnceLoop, AtLeastOnceLoop])
def test_the_loop_for_long(machine: type[Loop]) -> None:
    run(machine, 300)
    assert machine.steps > 10_000
