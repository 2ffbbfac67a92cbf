"""A source that follows another group: whatever comes when, nothing is given too early, twice or never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.columns.records import Records
from stream.errors import BrokerUnavailable
from stream.kafka.source import RebalanceListener
from stream.rewarm.following_source import LOOK_EVERY_S, FollowingSource

PARTITIONS, LENGTH = 2, 12


class Log:
    """A `Source` of two partitions with `LENGTH` records each, as far as `Behind` needs one."""

    def __init__(self) -> None:
        self.at = dict.fromkeys(range(PARTITIONS), 0)
        self.paused: set[int] = set()

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        self.listener = listener

    def assignment(self) -> list[int]:
        return sorted(self.at)

    def hold(self, partitions: Sequence[int]) -> None:
        self.paused.update(partitions)

    def start(self, offsets: Mapping[int, int]) -> None:
        self.at |= offsets

    def pause(self, partitions: Sequence[int]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self.paused.difference_update(partitions)

    def poll(self, max_records: int, timeout: float) -> Records:
        places = []
        for one in self.assignment():
            if one not in self.paused:
                end = min(self.at[one] + max_records - len(places), LENGTH)
                places += [(one, offset) for offset in range(self.at[one], end)]
                self.at[one] = max(end, self.at[one])
        count, columns = len(places), np.array(places, np.int64).reshape(-1, 2)
        nothing: list[bytes | None] = [None] * count
        times = np.zeros(count, np.int64)
        return Records("in", nothing, nothing, columns[:, 0].astype(np.int32), columns[:, 1], times)


class Scene:
    def __init__(self) -> None:
        self.log, self.now, self.committed, self.away = Log(), 0.0, dict.fromkeys(range(PARTITIONS), 0), False
        self.behind = FollowingSource(self.log, self._leader, lambda: self.now)  # type: ignore[arg-type]

    def _leader(self, partitions: Sequence[int]) -> dict[int, int]:
        if self.away:
            raise BrokerUnavailable("nobody answers")
        return {one: self.committed[one] for one in partitions}

    def poll(self, most: int = 100) -> list[tuple[int, int]]:
        self.now += LOOK_EVERY_S
        polled = self.behind.poll(most, 0)
        assert len(polled) <= most
        return list(zip(polled.partitions.tolist(), polled.offsets.tolist(), strict=True))

    def poll_all(self) -> list[tuple[int, int]]:
        return [place for _ in range(4) for place in self.poll()]


STEPS = st.lists(
    st.tuples(st.sampled_from(range(PARTITIONS)), st.integers(0, LENGTH), st.integers(1, 7)), max_size=20
)


@given(STEPS)
def test_each_record_comes_once_in_order_and_never_before_the_other_group_has_it(steps: Any) -> None:
    scene, seen = Scene(), dict.fromkeys(range(PARTITIONS), 0)
    for partition, committed, most in steps:
        scene.committed[partition] = max(scene.committed[partition], committed)
        for one, offset in scene.poll(most):
            assert offset == seen[one] < scene.committed[one]
            seen[one] += 1
    for _ in range(PARTITIONS * LENGTH):
        for one, offset in scene.poll():
            assert offset == seen[one]
            seen[one] += 1
    assert seen == scene.committed


def test_what_waits_of_a_partition_that_goes_is_forgotten() -> None:
    scene = Scene()
    assert scene.poll_all() == []
    scene.behind.subscribe("in", _Quiet())
    scene.log.listener.on_lost([0])
    scene.behind.hold([1])
    scene.committed = {0: 2, 1: 2}
    assert scene.poll_all() == []
    scene.behind.start({1: 1})
    assert scene.poll_all() == [(1, 1)]


def test_a_broker_that_is_away_moves_nothing_on() -> None:
    scene = Scene()
    scene.committed = {0: 1, 1: 0}
    assert scene.poll_all() == [(0, 0)]
    scene.away, scene.committed = True, {0: 2, 1: 0}
    assert scene.poll_all() == []
    scene.away = False
    assert scene.poll_all() == [(0, 1)]


class _Quiet:
    def on_assigned(self, partitions: Sequence[int]) -> None: ...
    def on_revoked(self, partitions: Sequence[int]) -> None: ...
    def on_lost(self, partitions: Sequence[int]) -> None: ...
