"""A few points of a patient's risk, by the time of the events."""

from hypothesis import given
from hypothesis import strategies as st

from stream.ward.trend import BUCKETS, Trend
from tests.unit.ward.boards import MINUTE

BUCKET = 5 * MINUTE

points = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), max_size=60)


@given(points)
def test_a_trend_has_one_level_a_stretch_and_ends_with_the_last(raw):
    trend = Trend(BUCKET)
    in_time = sorted(raw, key=lambda point: point[0])
    for bucket, risk in in_time:
        trend.add(bucket * BUCKET, risk)
    levels = trend.levels()
    if not in_time:
        assert levels == [] and trend.change() == 0
        return
    last = in_time[-1][0]
    assert len(levels) == min(BUCKETS, last - in_time[0][0] + 1)
    for back, level in enumerate(reversed(levels)):
        assert level == [risk for bucket, risk in in_time if bucket <= last - back][-1]
    assert trend.change() == levels[-1] - levels[0]


def test_a_trend_after_a_long_silence_is_short_work() -> None:
    trend = Trend(1)
    trend.add(0, 0.5)
    trend.add(10**15, 0.7)
    assert trend.levels() == [0.5] * (BUCKETS - 1) + [0.7]


@given(points, st.integers(0, 40))
def test_what_is_forgotten_might_as_well_not_have_been_added(raw, since):
    """In whatever order it came."""
    whole, rest = Trend(BUCKET), Trend(BUCKET)
    for bucket, risk in raw:
        whole.add(bucket * BUCKET // 2, risk)
        if bucket > since:
            rest.add(bucket * BUCKET // 2, risk)
    assert whole.since(since * BUCKET // 2).levels() == rest.levels()
