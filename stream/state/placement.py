"""Placement: whether a record is in the partition to which the Java client sends its key. Pure numpy."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Code, Events, Refused

log = logging.getLogger(__name__)

SEED, FACTOR = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
POSITIVE = np.uint32(0x7FFFFFFF)
WORD = 4


class Placement:
    """Finds events in another partition than their key's: two producers that partition differently split a
    patient into two states.

    partitions: how many the input has, 0 as long as nobody knows: then nothing is misplaced. refuse: whether
    such an event is refused.
    """

    def __init__(self, partitions: int = 0, *, refuse: bool) -> None:
        self.partitions = partitions
        self._refuse = refuse
        self._warned = False

    def check(self, events: Events) -> tuple[Events, Refused, int]:
        """The events to go on with, those refused, and how many are misplaced. Warns of the first."""
        misplaced = np.zeros(len(events), np.bool_)
        if self.partitions:
            misplaced = partitions_of(events.patients, self.partitions) != events.partitions
        count = int(np.count_nonzero(misplaced))
        if count and not self._warned:
            self._warned = True
            log.warning(
                "records are not in their key's partition (murmur2): a producer partitions differently, and "
                "may split patients into two states; %s, see vitalstream_events_misplaced_total",
                "they are refused" if self._refuse else "they are scored",
            )
        refused = misplaced & self._refuse
        return events.keep(~refused), events.refuse(refused, Code.WRONG_PARTITION, "state"), count


def partitions_of(keys: Sequence[bytes], partitions: int) -> NDArray[np.int32]:
    """int32 [N]: the partition to which the Java client sends each key: murmur2 (Appleby), as in Kafka."""
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    starts = np.cumsum(lengths) - lengths
    joined = np.frombuffer(b"".join(keys), np.uint8)
    hashes = np.empty(len(keys), np.uint32)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        rows = np.flatnonzero(lengths == length)
        hashes[rows] = _murmur2(joined[starts[rows, None] + np.arange(length)])
    return ((hashes & POSITIVE) % np.uint32(partitions)).astype(np.int32)


def _murmur2(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint32 [N] of keys [N, L], all of one length."""
    count, length = keys.shape
    whole = length // WORD * WORD
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4").T * FACTOR
    words = (words ^ (words >> np.uint32(24))) * FACTOR
    hashes = np.full(count, SEED ^ np.uint32(length))
    for word in words:
        hashes = (hashes * FACTOR) ^ word
    if whole < length:
        for place, byte in enumerate(keys[:, whole:].T):
            hashes ^= byte.astype(np.uint32) << np.uint32(8 * place)
        hashes *= FACTOR
    hashes = (hashes ^ (hashes >> np.uint32(13))) * FACTOR
    return hashes ^ (hashes >> np.uint32(15))
