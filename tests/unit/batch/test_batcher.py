import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.batch.batcher import Batcher
from stream.columns.records import Records


class Backlog:
    """Hands out records at their arrival times; its clock moves only while it is polled."""

    def __init__(self, arrivals: list[float]) -> None:
        self.arrivals = arrivals
        self.taken = 0
        self.now = 0.0

    def poll(self, most: int, timeout: float) -> Records:
        if self.taken < len(self.arrivals):
            self.now = max(self.now, min(self.arrivals[self.taken], self.now + timeout))
        else:
            self.now += timeout
        ready = [at for at in self.arrivals[self.taken :] if at <= self.now][:most]
        offsets = np.arange(self.taken, self.taken + len(ready))
        self.taken += len(ready)
        zeros = np.zeros(len(ready), np.int64)
        return Records("t", [b""] * len(ready), [b""] * len(ready), zeros.astype(np.int32), offsets, zeros)


@given(st.lists(st.floats(0, 0.02), max_size=60).map(sorted), st.integers(1, 20))
def test_a_batch_is_bounded_and_nothing_is_lost_or_reordered(arrivals: list[float], most: int) -> None:
    backlog = Backlog(arrivals)
    batcher = Batcher(most, 0.005, lambda: backlog.now)
    seen: list[int] = []
    while len(seen) < len(arrivals):
        records = batcher.gather(backlog.poll, 1.0)
        assert 0 < len(records) <= most
        waited = backlog.now - arrivals[int(records.offsets[0])]
        assert len(records) == most or waited <= 1.0
        seen.extend(records.offsets.tolist())
    assert seen == list(range(len(arrivals)))


def test_the_first_waits_no_longer_than_max_wait() -> None:
    backlog = Backlog([0.0, 0.004, 0.0049, 0.0051])
    assert len(Batcher(100, 0.005, lambda: backlog.now).gather(backlog.poll, 1.0)) == 3
    assert backlog.now <= 0.0051


def test_an_idle_topic_gives_no_records() -> None:
    backlog = Backlog([])
    assert len(Batcher(100, 0.005, lambda: backlog.now).gather(backlog.poll, 0.1)) == 0
    assert backlog.now == 0.1


def test_what_came_while_the_last_batch_was_stepped_has_waited_already() -> None:
    backlog = Backlog([0.0, 0.006, 0.012, 0.0129, 0.0131])
    batcher = Batcher(100, 0.005, lambda: backlog.now)
    batcher.gather(backlog.poll, 1.0)
    assert backlog.now == 0.005
    backlog.now = 0.0125
    assert batcher.gather(backlog.poll, 1.0).offsets.tolist() == [1, 2]
    assert backlog.now == 0.0125


def test_partitions_taken_away_by_a_poll_that_waits_do_not_cost_the_others_their_records() -> None:
    backlog = Backlog([0.5])
    batcher = Batcher(100, 0.005, lambda: backlog.now)

    def poll(most: int, timeout: float) -> Records:
        batcher.discard([7])
        return backlog.poll(most, timeout)

    assert len(batcher.gather(poll, 1.0)) == 1
