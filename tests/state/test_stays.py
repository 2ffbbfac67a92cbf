import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.batch.waves import pack
from stream.records import Kind
from stream.state.stays import STAY, Moments, advance

ROW = st.tuples(st.integers(0, 3), st.sampled_from([*[Kind.OBSERVATION] * 5, *Kind]), st.integers(0, 10**7))
EXPIRE_MS = 4_000_000
NEW = (0, 0, 0, 0, 0, 0)


def naive(rows, stays, first_offset, stream_time):
    """Event by event, as the contract says it."""
    told = []
    for offset, (slot, kind, at) in enumerate(rows, first_offset):
        stream_time = max(stream_time, at)
        start, latest, seen, _, events, admitted = stays.get(slot, NEW)
        over = events > 0 and stream_time - seen > EXPIRE_MS
        again = over or (kind == Kind.ADMISSION and admitted == 1)
        if again or not events:
            start, latest, events, admitted = at, at, 0, 0
        if kind == Kind.ADMISSION:
            admitted = 1
        ahead, latest = at - latest, max(at, latest)
        elapsed, hours = max(ahead, 0) / 3_600_000, (latest - start) / 3_600_000
        told.append((elapsed, hours, ahead < 0, events + 1, again))
        gone = kind == Kind.DISCHARGE
        stays[slot] = (
            (0, 0, 0, offset + 1, 0, 0)
            if gone
            else (start, latest, stream_time, offset + 1, events + 1, admitted)
        )
    return told, stream_time


@given(st.lists(ROW, max_size=40), st.lists(ROW, max_size=40))
def test_what_a_stay_knows_is_that_of_one_event_after_the_other(first, second) -> None:
    kept, expected_stays, offset, stream_time = {}, {}, 0, 0
    for rows in (first, second):
        slots = np.array([slot for slot, _, _ in rows], np.int64)
        kinds = np.array([kind for _, kind, _ in rows], np.int8)
        times = np.array([at for _, _, at in rows], np.int64)
        offsets = np.arange(offset, offset + len(rows))
        stream_times = np.maximum(np.maximum.accumulate(times), stream_time) if rows else times
        packing = pack(slots)
        order = packing.order
        stays = np.array([kept.get(slot, NEW) for slot in packing.groups.tolist()], STAY)
        moments = Moments(kinds[order], times[order], offsets[order], stream_times[order])
        timeline = advance(stays, packing, moments, EXPIRE_MS)
        kept |= dict(zip(packing.groups.tolist(), stays.tolist(), strict=True))
        expected, stream_time = naive(rows, expected_stays, offset, stream_time)
        offset += len(rows)
        for place, row in enumerate(order.tolist()):
            elapsed, hours, late, count, again = expected[row]
            assert timeline.elapsed[place] == pytest.approx(elapsed, rel=1e-6)
            assert timeline.hours[place] == pytest.approx(hours, rel=1e-6)
            assert (timeline.late[place], timeline.counts[place], timeline.again[place]) == (
                late,
                count,
                again,
            )
        assert kept == expected_stays
