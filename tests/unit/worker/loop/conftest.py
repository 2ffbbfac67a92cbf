"""Every worker of these tests runs on a cluster in memory, with a cell that is its own reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream.kafka import clients
from stream.worker import assembly
from tests.unit.worker.loop.cluster import make_sink, make_source, make_transactions
from tests.unit.worker.loop.ward import Fold


@pytest.fixture(scope="package", autouse=True)
def in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "load_model", lambda _: Fold())
        patch.setitem(clients.SOURCES, "librdkafka", make_source)
        patch.setitem(clients.SINKS, "librdkafka", make_sink)
        patch.setitem(clients.TRANSACTIONAL_SINKS, "librdkafka", make_transactions)
        yield
