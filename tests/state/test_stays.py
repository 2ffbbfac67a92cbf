import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.batch.waves import pack
from stream.records import Kind
from stream.state.stays import STAY, advance

ROW = st.tuples(st.integers(0, 3), st.sampled_from([*[Kind.OBSERVATION] * 5, *Kind]), st.integers(0, 10**7))


def naive(rows, stays):
    """Event by event, as the contract says it."""
    told = []
    for slot, kind, at in rows:
        start, latest, events, admitted = stays.get(slot, (0, 0, 0, 0))
        again = kind == Kind.ADMISSION and admitted == 1
        if again or not events:
            start, latest, events, admitted = at, at, 0, 0
        if kind == Kind.ADMISSION:
            admitted = 1
        ahead, latest = at - latest, max(at, latest)
        elapsed, hours = max(ahead, 0) / 3_600_000, (latest - start) / 3_600_000
        told.append((elapsed, hours, ahead < 0, events + 1, again))
        stays[slot] = (0, 0, 0, 0) if kind == Kind.DISCHARGE else (start, latest, events + 1, admitted)
    return told


@given(st.lists(ROW, max_size=40), st.lists(ROW, max_size=40))
def test_clock_count_and_admission_are_those_of_one_event_after_the_other(first, second) -> None:
    kept, expected_stays = {}, {}
    for rows in (first, second):
        slots = np.array([slot for slot, _, _ in rows], np.int64)
        kinds = np.array([kind for _, kind, _ in rows], np.int8)
        times = np.array([at for _, _, at in rows], np.int64)
        packing = pack(slots)
        stays = np.array([kept.get(slot, (0, 0, 0, 0)) for slot in packing.groups.tolist()], STAY)
        timeline = advance(stays, packing, kinds[packing.order], times[packing.order])
        kept |= dict(zip(packing.groups.tolist(), stays.tolist(), strict=True))
        expected = naive(rows, expected_stays)
        for place, row in enumerate(packing.order.tolist()):
            elapsed, hours, late, count, again = expected[row]
            assert timeline.elapsed[place] == pytest.approx(elapsed, rel=1e-6)
            assert timeline.hours[place] == pytest.approx(hours, rel=1e-6)
            assert (timeline.late[place], timeline.counts[place], timeline.again[place]) == (
                late,
                count,
                again,
            )
        assert kept == expected_stays
