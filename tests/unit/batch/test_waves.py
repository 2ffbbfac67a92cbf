import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.batch.waves import pack

batches = st.lists(st.integers(0, 12), max_size=200).map(lambda codes: np.array(codes, np.int64))


@given(batches)
def test_every_row_is_packed_once(groups: np.ndarray) -> None:
    packing = pack(groups)
    assert sorted(packing.order) == list(range(len(groups)))
    assert packing.sizes.sum() == len(groups)


@given(batches)
def test_a_wave_is_a_prefix_of_the_patients_and_waves_keep_offset_order(groups: np.ndarray) -> None:
    packing = pack(groups)
    last_row = {}
    start = 0
    for size in packing.sizes:
        rows = packing.order[start : start + size]
        assert list(groups[rows]) == list(packing.groups[:size])
        for row in rows:
            assert last_row.get(groups[row], -1) < row
            last_row[groups[row]] = row
        start += size
    assert list(packing.sizes) == sorted(packing.sizes, reverse=True)
