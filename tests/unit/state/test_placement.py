import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from stream.columns.events import Code, Events
from stream.state.placement import Placement, partitions_of
from tests.support.events import Event, columns


@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(1, 1000))
def test_a_keys_partition_is_that_of_the_java_client(keys: list[bytes], count: int) -> None:
    expected = [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]
    assert partitions_of(keys, count).tolist() == expected


def split(*, right: int, wrong: int) -> Events:
    events = columns([Event(f"ZQ7-{number}", 0) for number in range(right + wrong)])
    places = partitions_of(events.patients, 4)
    places[right:] = (places[right:] + 1) % 4
    return replace(events, partitions=places)


def test_misplaced_events_are_counted_and_scored_unless_they_are_to_be_refused() -> None:
    events = split(right=3, wrong=2)
    kept, refused, count = Placement(4, refuse=False).check(events)
    assert (len(kept), len(refused), count) == (5, 0, 2)
    kept, refused, count = Placement(4, refuse=True).check(events)
    assert (len(kept), refused.rows, count) == (3, [3, 4], 2)
    assert set(refused.codes) == {Code.WRONG_PARTITION}


def test_the_first_misplaced_event_is_warned_of_once_and_without_its_patient(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    placement = Placement(4, refuse=False)
    placement.check(split(right=3, wrong=0))
    assert not caplog.records
    for _ in range(2):
        placement.check(split(right=1, wrong=2))
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "ZQ7" not in caplog.text


def test_as_long_as_nobody_knows_how_many_partitions_there_are_nothing_is_misplaced() -> None:
    placement = Placement(refuse=True)
    kept, _, count = placement.check(split(right=1, wrong=2))
    assert (len(kept), count) == (3, 0)


def test_more_partitions_move_keys() -> None:
    placement, events = Placement(4, refuse=False), split(right=20, wrong=0)
    assert placement.check(events)[2] == placement.check(events)[2] == 0
    placement.partitions = 5
    moved = int((partitions_of(events.patients, 5) != events.partitions).sum())
    assert placement.check(events)[2] == moved > 0
