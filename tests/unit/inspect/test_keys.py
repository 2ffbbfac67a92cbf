from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from stream.columns.records import Outgoing
from stream.connection import Connection
from stream.errors import BrokerError
from stream.inspect.keys import placed
from stream.kafka.clients import make_source
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.settings import Settings, load
from stream.state.placement import partitions_of


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    embedded.create("keys")
    own = {"bootstrap_servers": embedded.bootstrap_servers, "observations_topic": "keys"}
    return load(own | {"client_overrides": {"log_level": "3"}}, environment={})


def send(settings: Settings, keys: list[bytes | None], partitions: np.ndarray) -> None:
    with closing(LibrdkafkaSink(Connection(settings.bootstrap_servers))) as sink:
        sink.send(Outgoing("keys", [b"{}"] * len(keys), keys, partitions))
        sink.flush(30)


def test_the_newest_records_are_looked_at_and_misplaced_ones_named_by_partition(settings: Settings) -> None:
    with closing(make_source(settings)) as source:
        count = source.partition_count("keys")
    assert count > 1
    keys = [b"ZQ7-%d" % number for number in range(20)]
    right = partitions_of(keys, count)
    assert "newest 0 records" in placed(settings)
    send(settings, [*keys, None], np.append(right, np.int32(0)))
    assert "newest 20 records" in placed(settings)
    send(settings, keys[:1], (right[:1] + 1) % count)
    with pytest.raises(BrokerError, match="1 of the newest 21 records") as caught:
        placed(settings)
    assert str([(int(right[0]) + 1) % count]) in str(caught.value)
    assert "ZQ7" not in str(caught.value)
