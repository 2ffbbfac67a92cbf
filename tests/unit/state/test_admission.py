"""Which of a batch's events are new, and what time it is for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream.columns.events import Code
from stream.state.admission import admit
from stream.state.store import StateStore
from tests.support.events import BEGIN_MS, MAX_PAST_MS, Event, columns
from tests.unit.state.test_store import FRESH


def test_an_event_that_was_applied_before_still_carries_the_stream_time_on() -> None:
    """At least once a patient's state may be durable and the checkpoint with the stream time not."""
    store = StateStore(FRESH, 2, 4)
    slots = store.admit([b"a"], np.zeros(1, np.int32))
    stays = store.stays(slots)
    stays["next_offset"], stays["expires_at"] = 1, BEGIN_MS
    store.write_stays(slots, stays)
    found = admit(store, columns([Event("a", 100), Event("b", 10)]), MAX_PAST_MS)
    assert (found.applied, found.events.patients) == (1, [b"b"])
    assert found.stream_times.tolist() == [BEGIN_MS + 100 * 60_000]
    assert store.stream_time(0) == BEGIN_MS + 100 * 60_000


def test_what_happened_too_long_ago_is_refused_by_what_the_log_says() -> None:
    """A device whose clock began anew: by the stream time, or by the time of its own record."""
    store, day = StateStore(FRESH, 2, 4), 24 * 60
    old = [Event("a", -8 * day), Event("a", -6 * day)]
    by_record = columns(old)
    by_record = replace(by_record, timestamps=np.full(2, BEGIN_MS))
    found = admit(store, by_record, MAX_PAST_MS)
    assert [(list(found.refused.rows), list(found.refused.codes))] == [([0], [Code.PAST])]
    assert found.events.observed_at.tolist() == [old[1].at]

    store = StateStore(FRESH, 2, 4)
    found = admit(store, columns([Event("b", 0), *old]), MAX_PAST_MS)
    assert (list(found.refused.rows), found.events.patients) == ([1], [b"b", b"a"])
    assert store.stream_time(0) == BEGIN_MS


def test_who_has_only_an_event_that_is_refused_takes_no_slot() -> None:
    store = StateStore(FRESH, 2, 4)
    admit(store, columns([Event("b", 0), Event("a", -8 * 24 * 60)]), MAX_PAST_MS)
    assert store.resident == 1
