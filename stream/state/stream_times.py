"""Stream time, as in Kafka Streams: how far the event time of each partition has come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class StreamTimes(dict[int, int]):
    """Partition → the latest `observed_at` of its events so far, ms."""

    def advance(self, partitions: NDArray[np.int32], observed_at: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [N], ms: of each row the latest `observed_at` in its partition so far, this row included;
        rows of a partition stand in offset order. Carries the partitions' stream times on."""
        times = np.empty(len(partitions), np.int64)
        for partition in np.unique(partitions).tolist():
            rows = np.flatnonzero(partitions == partition)
            times[rows] = np.maximum(np.maximum.accumulate(observed_at[rows]), self.get(partition, 0))
            self[partition] = int(times[rows[-1]])
        return times
