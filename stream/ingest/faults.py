"""What goes wrong at the bedside: now and then an event is sent again, or spoiled on its way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stream.ingest.pacing import Timeline
from stream.records import Outgoing

FAULTS: tuple[Callable[[bytes], bytes], ...] = (
    lambda event: event,
    lambda event: event[: len(event) // 2],
    lambda event: event.replace(b'"patient_id":"', b'"patient_id":"\xff', 1),
    lambda event: event.replace(b'"patient_id":"', b'"patient_id":"other-', 1),
    lambda event: event.replace(b'"patient_id":', b'"bed":', 1),
    lambda event: event.replace(b'"observed_at":', b'"observed_at":"noon","at":', 1),
    lambda event: event.replace(b'"type":"', b'"type":"un', 1),
)
"""Sent twice; cut off; not UTF-8; under another's key; a field missing, of a wrong type; an unknown type."""


class Faulty:
    """A timeline in which a `share` of the events is followed by a faulty copy, of the same key and time. The
    same seed gives the same faults, however the calls of `tick` divide the events."""

    def __init__(self, timeline: Timeline, share: float, seed: int) -> None:
        self._timeline, self._share = timeline, share
        self._when, self._which = (
            np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
        )

    def due(self, until_ms: int) -> int:
        """Events that are due, without the faulty ones."""
        return self._timeline.due(until_ms)

    def tick(self, until_ms: int, limit: int) -> Outgoing:
        """As the timeline's; `limit` does not count the faulty ones."""
        sound = self._timeline.tick(until_ms, limit)
        copies = 1 + (self._when.random(len(sound)) < self._share)
        rows = np.repeat(np.arange(len(sound)), copies)
        numbers: list[int] = rows.tolist()
        values = [sound.values[row] for row in numbers]
        for place in np.flatnonzero(np.diff(rows, prepend=-1) == 0).tolist():
            values[place] = FAULTS[self._which.integers(len(FAULTS))](values[place] or b"")
        keys = [sound.keys[row] for row in numbers]
        timestamps = None if sound.timestamps is None else sound.timestamps[rows]
        return Outgoing(sound.topic, values, keys, timestamps=timestamps)
