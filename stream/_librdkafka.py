"""What the librdkafka source and sink share: configuration, and the translation of errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, libversion

from stream.connection import RECONNECT_MS, Connection
from stream.errors import BrokerError, BrokerUnavailable, SettingsError, TopicError

Client = TypeVar("Client")

_UNAVAILABLE = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
}
_TOPIC = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_EXCEPTION,
}


def library_version() -> str:
    return str(libversion()[0])


def configuration(connection: Connection, own: dict[str, Any]) -> dict[str, Any]:
    """`own` settings of the client, the connection's, and its overrides, the later winning."""
    reach = {
        "bootstrap.servers": connection.bootstrap_servers,
        "client.id": connection.client_id,
        "security.protocol": connection.security_protocol,
        "sasl.mechanism": connection.sasl_mechanism,
        "sasl.username": connection.sasl_username,
        "sasl.password": connection.sasl_password,
        "ssl.ca.location": connection.ssl_ca_location,
        "ssl.certificate.location": connection.ssl_certificate_location,
        "ssl.key.location": connection.ssl_key_location,
        "ssl.key.password": connection.ssl_key_password,
        "reconnect.backoff.max.ms": RECONNECT_MS,
    }
    stated = {name: value for name, value in (own | reach).items() if value is not None}
    return stated | dict(connection.overrides)


def create(client: Callable[..., Client], settings: dict[str, Any], **keywords: Any) -> Client:
    """A client of these settings. Raises `SettingsError` where librdkafka does not know or accept one."""
    try:
        return client(settings, **keywords)
    except KafkaException as error:
        raise SettingsError(f"librdkafka: {reason(error).str()}") from None


def reason(error: KafkaException) -> KafkaError:
    return error.args[0]  # type: ignore[no-any-return]


def translated(error: KafkaError, doing: str) -> BrokerError:
    """The error of our tree that stands for librdkafka's, while `doing` something."""
    text = f"{doing}: {error.str()}"
    if error.code() in _UNAVAILABLE:
        return BrokerUnavailable(text)
    return TopicError(text) if error.code() in _TOPIC else BrokerError(text)
