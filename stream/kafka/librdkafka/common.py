"""What the librdkafka source, sinks and admin share: configuration, and the translation of errors."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition, libversion

from stream.connection import RECONNECT_MS, Connection
from stream.errors import BrokerError, BrokerUnavailable, EpochError, SettingsError, TopicError
from stream.kafka.refusals import Refusal, unreachable

Client = TypeVar("Client")

log = logging.getLogger("librdkafka")
"""What librdkafka itself says."""
OF_NO_USE = ("property and will be ignored", "enable.gapless.guarantee is experimental")
log.addFilter(lambda record: not any(phrase in record.getMessage() for phrase in OF_NO_USE))
warnings.filterwarnings("ignore", r"Producer \w+ failed during close", RuntimeWarning)

_UNAVAILABLE = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._WAIT_COORD,
    KafkaError._DESTROY_BROKER,  # its address is another now
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
_REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Refusal.TOPIC,
    KafkaError.GROUP_AUTHORIZATION_FAILED: Refusal.GROUP,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Refusal.TRANSACTIONAL_ID,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Refusal.CLUSTER,
    KafkaError.INVALID_TRANSACTION_TIMEOUT: Refusal.TRANSACTION_TIMEOUT,
    KafkaError._AUTHENTICATION: Refusal.LOGIN,
    KafkaError.SASL_AUTHENTICATION_FAILED: Refusal.LOGIN,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: Refusal.MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE: Refusal.MECHANISM,
    KafkaError.SECURITY_DISABLED: Refusal.MECHANISM,
    KafkaError.UNSUPPORTED_VERSION: Refusal.VERSION,
    KafkaError._UNSUPPORTED_FEATURE: Refusal.VERSION,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: Refusal.GROUP_SETTINGS,
    KafkaError.INVALID_SESSION_TIMEOUT: Refusal.GROUP_SETTINGS,
    KafkaError.GROUP_MAX_SIZE_REACHED: Refusal.GROUP_SETTINGS,
    KafkaError.FENCED_INSTANCE_ID: Refusal.INSTANCE,
    KafkaError.MSG_SIZE_TOO_LARGE: Refusal.SIZE,
}
_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
_ADDRESS = re.compile(
    r"(?:\w+: )?(?:\w+://)?(?P<at>[^/\s]+:\d+)(?:/(?P<node>\d+|bootstrap))?: (?P<why>.*?)(?: \(after .*)?"
)
"""In a message about a connection; one to a coordinator has its name before the address and no number."""
_TLS_REFUSED = re.compile("certificate|alert|wrong version|unknown ca", re.IGNORECASE)
"""In the message of a refused TLS handshake; any other broke off, and may succeed later."""


class Contact:
    """An `error_cb`: remembers what librdkafka reports of its connections, inside `poll` and `flush`.

    fatal: whether it is a consumer's, to which fatal errors are the end; a producer raises them itself.
    """

    def __init__(self, *, fatal: bool = False) -> None:
        self._fatal = fatal
        self._refusal: BrokerError | None = None
        self._unreachable = ""

    def __call__(self, error: KafkaError) -> None:
        if error.fatal():
            self._refusal = translated(error, "the consumer") if self._fatal else None
        elif (refusal := _refusal(error)) is not None:
            self._refusal = refusal.error("connecting", _text(error))
        elif (broker := _ADDRESS.fullmatch(error.str())) is not None:
            advertised = broker["node"] != "bootstrap"
            self._unreachable = unreachable(broker["at"], broker["why"], advertised=advertised)

    def check(self) -> None:
        """Raises `RefusalError` if the cluster refuses the connection."""
        if self._refusal is not None:
            raise self._refusal

    def translated(self, error: KafkaError, doing: str) -> BrokerError:
        """As the function `translated`; but a time-out is explained by the connection that it waited for."""
        failure = translated(error, doing)
        if not isinstance(failure, BrokerUnavailable):
            return failure
        if self._refusal is not None:
            return self._refusal
        return BrokerUnavailable(f"{failure}; {self._unreachable}") if self._unreachable else failure


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
    """A client of these settings. Raises `SettingsError` if librdkafka does not know or accept one."""
    try:
        return client(settings, **({"logger": log} | keywords))
    except KafkaException as error:
        raise SettingsError(f"librdkafka: {reason(error).str()}") from error


def reason(error: KafkaException) -> KafkaError:
    return error.args[0]  # type: ignore[no-any-return]


def translated(error: KafkaError, doing: str) -> BrokerError:
    """The error of our tree that stands for librdkafka's, while `doing` something to a resource that it
    names."""
    if (refusal := _refusal(error)) is not None:
        return refusal.error(doing, _text(error))
    text = f"{doing}: {_text(error)}"
    if error.code() in _UNAVAILABLE or error.code() in _FENCED:
        return BrokerUnavailable(text)
    return TopicError(text) if error.code() in _TOPIC else BrokerError(text)


def not_done(error: KafkaError, doing: str, kind: type[EpochError]) -> BrokerError:
    """The same for what belongs to an epoch: lost with it, as `kind`, unless the cluster refuses for good."""
    refusal = _refusal(error)
    return kind(f"{doing}: {_text(error)}") if refusal is None else refusal.error(doing, _text(error))


def close_quietly(producer: Producer) -> None:
    """Close it; if it has failed, it would raise or warn once more why."""
    for end in (producer.purge, producer.close):
        with suppress(KafkaException, SystemError, RuntimeWarning):
            end()


def is_missing(error: KafkaError) -> bool:
    """Whether it says that there is no such topic."""
    return error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)


def _refusal(error: KafkaError) -> Refusal | None:
    """None if it may pass. A connection that breaks off while it is checked has a code of the check, too."""
    code, text = error.code(), error.str()
    if code == KafkaError._SSL or "SSL routines" in text:
        return Refusal.TLS if _TLS_REFUSED.search(text) else None
    if code == KafkaError._AUTHENTICATION and "Local: " in text:
        return None
    if code == KafkaError._AUTHENTICATION and "mechanism" in text and "handshake failed" in text:
        return Refusal.MECHANISM
    return _REFUSALS.get(code)


def _text(error: KafkaError) -> str:
    """The error in one line. Some errors name the request alone."""
    text = " ".join(error.str().split())
    return f"{text} {KafkaError(error.code()).str()}" if text.endswith(":") else text


def numbers(partitions: list[TopicPartition]) -> list[int]:
    """The numbers of the partitions, ascending."""
    return sorted(partition.partition for partition in partitions)
