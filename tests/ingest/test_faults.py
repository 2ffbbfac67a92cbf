"""Faulty events stand among the good ones, which stay as they are, and each is refused for its own reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.decode.decoder import Decoder
from stream.ingest.faults import FAULTS, Faulty
from stream.ingest.simulator import Ward
from stream.records import Records

START = 1_700_000_000_000


def ward():
    return Ward(9, 1, START, 1.0)


def drawn(source, limit):
    events = []
    while len(batch := source.tick(START + 20_000, limit)):
        events += zip(batch.keys, batch.values, batch.timestamps.tolist(), strict=True)
    return events


@settings(deadline=None, max_examples=30)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_good_events_are_all_there_in_their_order(share, seed):
    good = drawn(ward(), 50)
    mixed = drawn(Faulty(ward(), share, seed), 50)
    left = iter(mixed)
    assert all(event in left for event in good)
    assert share == 0 or len(mixed) >= len(good)
    assert [event for event in mixed if event[0::2] not in {good[0::2] for good in good}] == []


@settings(deadline=None, max_examples=30)
@given(limit=st.integers(1, 60))
def test_the_same_seed_gives_the_same_faults_however_events_are_asked_for(limit):
    assert drawn(Faulty(ward(), 0.3, 5), limit) == drawn(Faulty(ward(), 0.3, 5), 1000)


def test_a_share_of_one_doubles_the_events():
    source = Faulty(ward(), 1.0, 5)
    due = source.due(START + 5_000)
    assert len(source.tick(START + 5_000, due)) == 2 * due


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_every_fault_but_the_repetition_is_refused_by_the_decoder(fault):
    batch = ward().tick(START + 3_000)
    for key, value in zip(batch.keys, batch.values, strict=True):
        one = np.zeros(1, np.int64)
        spoiled = Records("t", [fault(value)], [key], np.zeros(1, np.int32), one, one)
        assert len(Decoder(1 << 20, 300.0).decode(spoiled).refused) == 1
