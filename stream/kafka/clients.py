"""The one place that chooses a Kafka client: the settings' source, sink and administration."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stream.kafka.admin import Admin
from stream.kafka.kafka_python.admin import KafkaPythonAdmin
from stream.kafka.kafka_python.sink import KafkaPythonSink
from stream.kafka.kafka_python.source import KafkaPythonSource
from stream.kafka.kafka_python.transactional_sink import KafkaPythonTransactionalSink
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from stream.kafka.librdkafka.sink import LibrdkafkaSink
from stream.kafka.librdkafka.source import LibrdkafkaSource
from stream.kafka.librdkafka.transactional_sink import LibrdkafkaTransactionalSink
from stream.kafka.sink import Sink, TransactionalSink
from stream.kafka.source import Source
from stream.settings import Settings

SOURCES: dict[str, Callable[..., Source]] = {
    "librdkafka": LibrdkafkaSource,
    "kafka-python": KafkaPythonSource,
}
SINKS: dict[str, Callable[..., Sink]] = {"librdkafka": LibrdkafkaSink, "kafka-python": KafkaPythonSink}
TRANSACTIONAL_SINKS: dict[str, Callable[..., TransactionalSink]] = {
    "librdkafka": LibrdkafkaTransactionalSink,
    "kafka-python": KafkaPythonTransactionalSink,
}
ADMINS: dict[str, Callable[..., Admin]] = {"librdkafka": LibrdkafkaAdmin, "kafka-python": KafkaPythonAdmin}


def make_source(settings: Settings, group_id: str | None = None, **options: Any) -> Source:
    """The source of the client that the settings choose; a member of `group_id` if there is one.
    `options` as the implementations take them."""
    return SOURCES[settings.client](settings.connection(), group_id, **options)


def make_sink(settings: Settings, **options: Any) -> Sink:
    """The sink of the client that the settings choose."""
    return SINKS[settings.client](settings.connection(), **options)


def make_transactional_sink(settings: Settings) -> TransactionalSink:
    """The transactional sink of that client. Its transactional id is the same after a restart only if
    the worker has an instance id; otherwise what a killed worker left open is aborted after the timeout."""
    instance = settings.instance_id or uuid.uuid4().hex
    return TRANSACTIONAL_SINKS[settings.client](
        settings.connection(),
        transactional_id=f"{settings.application_id}-{instance}",
        timeout=settings.transaction_timeout,
    )


def make_admin(settings: Settings) -> Admin:
    """The administration of that client. It may connect: raises `SettingsError`, `BrokerUnavailable`."""
    return ADMINS[settings.client](settings.connection())
