"""Whether the newest records of the input are in the partitions of their keys."""

from __future__ import annotations

from contextlib import closing

import numpy as np

from stream.errors import BrokerError, TopicError
from stream.inspect.changelog import to_ends
from stream.kafka.clients import make_source
from stream.settings import Settings
from stream.state.placement import partitions_of

NEWEST = 1000
"""Records looked at of each partition."""


def placed(settings: Settings) -> str:
    """How many records are where their key belongs. Blocks; raises `BrokerError` if some are not."""
    topic = settings.observations_topic
    with closing(make_source(settings, settings.application_id, to_end=True)) as source:
        if not (count := source.partition_count(topic)):
            raise TopicError(f"{topic} is missing: create it with `vitalstream topics create`")
        records, misplaced = 0, np.zeros(count, np.int64)
        source.assign(topic, {})
        first, end = source.beginning_offsets(range(count)), source.end_offsets(range(count))
        source.assign(
            topic, {partition: max(first[partition], end[partition] - NEWEST) for partition in range(count)}
        )
        for polled in to_ends(source):
            keyed = polled.keep(np.array([key is not None for key in polled.keys], np.bool_))
            wrong = partitions_of([key or b"" for key in keyed.keys], count) != keyed.partitions
            misplaced += np.bincount(keyed.partitions[wrong], minlength=count)
            records += len(keyed)
            if len(source.ended()) == count:
                break
    if misplaced.any():
        raise BrokerError(
            f"{topic}: {misplaced.sum()} of the newest {records} records are not in their key's partition "
            f"but in {np.flatnonzero(misplaced).tolist()}: a producer does not partition with murmur2; set "
            "its partitioner to murmur2_random (librdkafka)"
        )
    return f"the newest {records} records are in their keys' partitions"
