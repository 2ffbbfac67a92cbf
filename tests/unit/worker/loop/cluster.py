"""Clusters in memory by the bootstrap servers that settings name, and the clients that connect to them."""

from __future__ import annotations

from typing import Any

from stream.connection import Connection
from stream.kafka.memory import Cluster, MemorySink, MemorySource, MemoryTransactionalSink

CLUSTERS: dict[str, Cluster] = {}
"""By bootstrap servers, so that settings name them."""


def make_source(connection: Connection, group: str | None = None, **options: Any) -> MemorySource:
    return MemorySource(CLUSTERS[connection.bootstrap_servers])


def make_sink(connection: Connection, **options: Any) -> MemorySink:
    return MemorySink(CLUSTERS[connection.bootstrap_servers])


def make_transactions(connection: Connection, **options: Any) -> MemoryTransactionalSink:
    return MemoryTransactionalSink(CLUSTERS[connection.bootstrap_servers], options["transactional_id"])
