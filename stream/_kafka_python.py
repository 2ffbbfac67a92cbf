"""What the kafka-python source, sink and admin share: configuration, and the translation of errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient

from stream.connection import RECONNECT_MS, Connection
from stream.errors import BrokerError, BrokerUnavailable, SettingsError, TopicError, VitalstreamError

Client = TypeVar("Client")

# At DEBUG kafka-python logs the key and the value of every record.
logging.getLogger("kafka").setLevel(logging.WARNING)

_UNAVAILABLE = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
    errors.NotLeaderForPartitionError,
    errors.LeaderNotAvailableError,
)
_TOPIC = (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError)


def configuration(connection: Connection, own: dict[str, Any]) -> dict[str, Any]:
    """`own` settings of the client, the connection's, and its overrides, the later winning."""
    reach = {
        "bootstrap_servers": connection.bootstrap_servers.split(","),
        "client_id": connection.client_id,
        "security_protocol": connection.security_protocol,
        "sasl_mechanism": connection.sasl_mechanism,
        "sasl_plain_username": connection.sasl_username,
        "sasl_plain_password": connection.sasl_password,
        "ssl_cafile": connection.ssl_ca_location,
        "ssl_certfile": connection.ssl_certificate_location,
        "ssl_keyfile": connection.ssl_key_location,
        "ssl_password": connection.ssl_key_password,
        "reconnect_backoff_max_ms": RECONNECT_MS,
    }
    stated = {name: value for name, value in (own | reach).items() if value is not None}
    return stated | {name: _typed(value) for name, value in connection.overrides.items()}


def create(client: Callable[..., Client], settings: dict[str, Any]) -> Client:
    """A client of these settings, connected.

    Raises `SettingsError` where kafka-python does not know or accept one, `BrokerUnavailable` where no
    broker answers within 30 s.
    """
    networks: list[KafkaNetClient] = []

    def network(**keywords: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**keywords))
        return networks[0]

    try:
        return client(**settings, kafka_client=network)
    except (errors.KafkaError, ValueError, AssertionError, OSError, RuntimeError) as error:
        for opened in networks:
            opened.close()
        raise _refused(error) from None


def translated(error: Exception, doing: str) -> BrokerError:
    """The error of our tree that stands for kafka-python's, while `doing` something."""
    text = f"{doing}: {error or type(error).__name__}"
    if isinstance(error, _UNAVAILABLE):
        return BrokerUnavailable(text)
    return TopicError(text) if isinstance(error, _TOPIC) else BrokerError(text)


def _refused(error: Exception) -> VitalstreamError:
    if isinstance(error, errors.KafkaError) and not isinstance(error, errors.KafkaConfigurationError):
        return translated(error, "connecting")
    return SettingsError(f"kafka-python: {error}")


def _typed(value: str) -> object:
    """`value` as kafka-python wants it: true and false, integers, and versions such as 2.3 as a tuple."""
    if value in ("true", "false"):
        return value == "true"
    if all(part.isdecimal() for part in value.split(".")):
        numbers = tuple(map(int, value.split(".")))
        return numbers[0] if len(numbers) == 1 else numbers
    return value
