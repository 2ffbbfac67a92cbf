"""Which of a batch's events are new, and what time it is for each."""

from __future__ import annotations

import numpy as np

from stream.state.admission import admit
from stream.state.store import StateStore
from tests.events import EXPIRE_AFTER_MS, Event, columns
from tests.state.test_store import FRESH


def test_an_event_that_was_applied_before_still_carries_the_stream_time_on() -> None:
    """At least once a patient's state may be durable and the mark with the stream time not."""
    store = StateStore(FRESH, 2, 4)
    slots = store.admit([b"a"], np.zeros(1, np.int32))
    stays = store.stays(slots)
    stays["next_offset"] = 1
    store.write(slots, store.rows(slots), stays)
    found = admit(store, columns([Event("a", 100), Event("b", 10)]), EXPIRE_AFTER_MS)
    assert (found.applied, found.events.patients) == (1, [b"b"])
    assert found.stream_times.tolist() == [100 * 60_000]
    assert store.stream_time(0) == 100 * 60_000
