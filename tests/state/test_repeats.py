import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.records import Kind
from stream.state.repeats import repeats

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(list(Kind))), max_size=30)


@given(ROWS, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_repeat_has_the_digest_of_the_event_before_it(rows, last) -> None:
    slots = np.array([slot for slot, _, _ in rows], np.int64)
    digests = np.array([digest for _, digest, _ in rows], np.uint64)
    kinds = np.array([kind for _, _, kind in rows], np.int8)
    before = dict(enumerate(last))
    expected = []
    for slot, digest, kind in rows:
        expected.append(before[slot] == digest and kind != Kind.DISCHARGE)
        before[slot] = 0 if kind == Kind.DISCHARGE else digest
    found = repeats(slots, digests, np.array(last, np.uint64)[slots], kinds)
    assert found.tolist() == expected
