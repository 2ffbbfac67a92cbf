"""What the kafka-python source, sink and admin share: configuration, and the translation of errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from stream.connection import RECONNECT_MS, Connection
from stream.errors import (
    BrokerError,
    BrokerUnavailable,
    EpochError,
    SettingsError,
    TopicError,
    VitalstreamError,
)
from stream.kafka.refusals import Refusal, unreachable

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
_FENCED = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_REFUSALS = {
    errors.TopicAuthorizationFailedError: Refusal.TOPIC,
    errors.GroupAuthorizationFailedError: Refusal.GROUP,
    errors.TransactionalIdAuthorizationFailedError: Refusal.TRANSACTIONAL_ID,
    errors.ClusterAuthorizationFailedError: Refusal.CLUSTER,
    errors.InvalidTransactionTimeoutError: Refusal.TRANSACTION_TIMEOUT,
    errors.SaslAuthenticationFailedError: Refusal.LOGIN,
    errors.UnsupportedSaslMechanismError: Refusal.MECHANISM,
    errors.IllegalSaslStateError: Refusal.MECHANISM,
    errors.SecurityDisabledError: Refusal.MECHANISM,
    errors.UnsupportedVersionError: Refusal.VERSION,
    errors.InconsistentGroupProtocolError: Refusal.GROUP_SETTINGS,
    errors.InvalidSessionTimeoutError: Refusal.GROUP_SETTINGS,
    errors.GroupMaxSizeReachedError: Refusal.GROUP_SETTINGS,
    errors.FencedInstanceIdError: Refusal.INSTANCE,
    errors.MessageSizeTooLargeError: Refusal.SIZE,
}
_CODE = re.compile(r"\[Error (\d+)\]")
"""In the text of an error that kafka-python did not expect."""
_TLS_REFUSED = re.compile("certificate|alert|wrong version|unknown ca", re.IGNORECASE)
"""In the message of a refused TLS handshake; any other broke off, and may succeed later."""


_CUT_OFF = "socket disconnected"
CUT_OFFS = 3
"""A broker that refuses a log-in answers and closes; kafka-python loses an answer that comes with the end."""


class Contact:
    """What kafka-python's connections failed of, of one client."""

    def __init__(self) -> None:
        self._refused: Exception | None = None
        self._unreachable = ""
        self._cut_off = 0

    def note(self, error: Exception, address: str, advertised: bool, authenticating: bool) -> None:
        """A connection to this host and port failed. authenticating: as far as the log-in."""
        self._cut_off = self._cut_off + 1 if authenticating and _CUT_OFF in str(error) else 0
        if self._cut_off == CUT_OFFS:
            text = f"the connection was cut off {CUT_OFFS} times, as by a cluster without this sasl_mechanism"
            error = errors.SaslAuthenticationFailedError(text)
        if _refusal(error) is not None:
            self._refused = error
        else:
            self._unreachable = unreachable(address, _text(error), advertised=advertised)

    def raise_cause(self) -> None:
        """Raises kafka-python's error if the cluster refuses the connection."""
        if self._refused is not None:
            raise self._refused

    def check(self) -> None:
        """Raises `RefusalError` in that case."""
        if self._refused is not None:
            raise translated(self._refused, "connecting") from self._refused

    def translated(self, error: Exception, doing: str) -> BrokerError:
        """As the function `translated`; but a time-out is explained by the connection that it waited for."""
        failure = translated(error, doing)
        if not isinstance(failure, BrokerUnavailable):
            return failure
        if self._refused is not None:
            return translated(self._refused, "connecting")
        return BrokerUnavailable(f"{failure}; {self._unreachable}") if self._unreachable else failure


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """kafka-python logs why a connection failed, and tries again for ever; the `contact` remembers it. While
    the first connection is made, a refusal ends the attempts."""

    def __init__(self, contact: Contact, net: NetworkSelector, **settings: Any) -> None:
        super().__init__(net, **settings)
        self._contact = contact

    def get_connection(self, node_id: object, *arguments: Any, **keywords: Any) -> Any:
        if not self.bootstrapped:
            self._contact.raise_cause()
        before = self._conns.get(node_id)
        connection = super().get_connection(node_id, *arguments, **keywords)
        if connection is not before:
            node = self.cluster.broker_metadata(node_id)
            address, advertised = f"{node.host}:{node.port}", not self.cluster.is_bootstrap(node_id)
            connection.init_future.add_errback(partial(self._note, connection, address, advertised))
        return connection

    def _note(self, connection: Any, address: str, advertised: bool, error: Exception) -> None:
        logging_in = connection.sasl_enabled and connection.broker_version_data is not None
        self._contact.note(error, address, advertised, logging_in and not self.bootstrapped)


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


def create(client: Callable[..., Client], settings: dict[str, Any], contact: Contact | None = None) -> Client:
    """A client of these settings, connected; `contact` observes its connections.

    Raises `SettingsError` if kafka-python does not know or accept one, `RefusalError` if the cluster refuses
    the connection, `BrokerUnavailable` if no broker answers within 30 s.
    """
    networks: list[KafkaNetClient] = []
    contact = contact or Contact()

    def network(**keywords: Any) -> KafkaNetClient:
        net = NetworkSelector(**keywords)
        networks.append(KafkaNetClient(net, _Manager(contact, net, **keywords)))
        return networks[0]

    try:
        return client(**settings, kafka_client=network)
    except (errors.KafkaError, ValueError, AssertionError, OSError, RuntimeError) as error:
        for opened in networks:
            opened.close()
        raise _not_created(error, contact) from error


def translated(error: Exception, doing: str) -> BrokerError:
    """The error of our tree that stands for kafka-python's, while `doing` something to a resource that it
    names."""
    if (refusal := _refusal(error)) is not None:
        return refusal.error(doing, _text(error))
    text, kind = f"{doing}: {_text(error)}", _kind(error)
    if issubclass(kind, (*_UNAVAILABLE, *_FENCED)):
        return BrokerUnavailable(text)
    return TopicError(text) if issubclass(kind, _TOPIC) else BrokerError(text)


def not_done(error: Exception, doing: str, kind: type[EpochError]) -> BrokerError:
    """The same for what belongs to an epoch: lost with it, as `kind`, unless the cluster refuses for good."""
    refusal = _refusal(error)
    return kind(f"{doing}: {_text(error)}") if refusal is None else refusal.error(doing, _text(error))


def _refusal(error: Exception) -> Refusal | None:
    """None if it may pass."""
    if isinstance(error, errors.KafkaConnectionError) and "[SSL" in str(error):
        return Refusal.TLS if _TLS_REFUSED.search(str(error)) else None
    return next((refusal for kind, refusal in _REFUSALS.items() if issubclass(_kind(error), kind)), None)


def _kind(error: Exception) -> type[Exception]:
    """Its class, or that of the broker's answer of which an error that kafka-python did not expect only has
    the code."""
    if type(error) is errors.KafkaError and (code := _CODE.search(str(error))) is not None:
        return errors.for_code(int(code[1]))  # type: ignore[no-any-return]
    return type(error)


def _text(error: Exception) -> str:
    """In one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _not_created(error: Exception, contact: Contact) -> VitalstreamError:
    if isinstance(error, errors.KafkaError) and not isinstance(error, errors.KafkaConfigurationError):
        return contact.translated(error, "connecting")
    return SettingsError(f"kafka-python: {error}")


def _typed(value: str) -> object:
    """`value` as kafka-python wants it: true and false, integers, and versions such as 2.3 as a tuple."""
    if value in ("true", "false"):
        return value == "true"
    if all(part.isdecimal() for part in value.split(".")):
        numbers = tuple(map(int, value.split(".")))
        return numbers[0] if len(numbers) == 1 else numbers
    return value
