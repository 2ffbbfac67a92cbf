"""Event time runs at its own speed, but never ahead of the clock."""

from hypothesis import given
from hypothesis import strategies as st

from stream.synthetic.pacing import Pace


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


def test_event_time_runs_at_the_given_speed_and_then_with_the_clock() -> None:
    clock = Clock()
    start = int(clock.now * 1000) - 59_000
    pace = Pace(start, 60.0, clock)
    assert pace.now_ms() == start
    clock.now += 0.5
    assert pace.now_ms() == start + 30_000
    clock.now += 0.5
    assert pace.now_ms() == start + 60_000 == clock.now * 1000
    clock.now += 10
    assert pace.now_ms() == clock.now * 1000


@given(st.floats(0.01, 10_000), st.integers(0, 10**9), st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_it_never_runs_back_nor_past_the_clock(speed, history, waits):
    clock = Clock()
    pace = Pace(int(clock.now * 1000) - history, speed, clock)
    before = pace.now_ms()
    for wait in waits:
        clock.now += wait
        assert before <= pace.now_ms() <= clock.now * 1000
        before = pace.now_ms()
