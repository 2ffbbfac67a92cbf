"""A decoder that passes over some records as if they were not there."""

from __future__ import annotations

from collections.abc import Set

from stream.columns.records import Records
from stream.decode.decoder import Decoded, Decoder


class SkippingDecoder(Decoder):
    """places: partition and offset of each record that is left out. The other arguments as of `Decoder`."""

    def __init__(self, max_event_bytes: int, max_future: float, places: Set[tuple[int, int]]) -> None:
        super().__init__(max_event_bytes, max_future)
        self._places = places

    def decode(self, records: Records) -> Decoded:
        return super().decode(records.without(self._places))
