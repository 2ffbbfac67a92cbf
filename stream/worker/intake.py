"""What comes in: records become events; those that are none, or of another partition, are refused."""

from __future__ import annotations

import time
from typing import Protocol

from stream.columns.events import Events, Refused
from stream.columns.records import Records
from stream.decode.decoder import Decoded
from stream.metrics import Metrics
from stream.state.placement import Placement


class Decoding(Protocol):
    """As `stream.decode.decoder.Decoder`."""

    def decode(self, records: Records) -> Decoded: ...


class Intake:
    """Decodes, and finds what is misplaced."""

    def __init__(self, decoder: Decoding, placement: Placement, metrics: Metrics) -> None:
        self._decoder, self._placement, self._metrics = decoder, placement, metrics

    def take(self, polled: Records) -> tuple[Events, list[Refused]]:
        """The events to go on with, and what is refused."""
        metrics, begun = self._metrics, time.perf_counter()
        decoded = self._decoder.decode(polled)
        metrics.decode_time.observe_one(time.perf_counter() - begun)
        metrics.batch_size.observe_one(len(polled))
        metrics.consumed.inc(len(polled))
        for code, fields in decoded.dropped.items():
            metrics.dropped.labels(code.value).inc(fields)
        events, elsewhere, misplaced = self._placement.check(decoded.events)
        metrics.misplaced.inc(misplaced)
        return events, [decoded.refused, elsewhere]
