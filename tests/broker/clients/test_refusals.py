"""What a cluster refuses for good and what may pass, as each client says it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from kafka import errors

from stream.errors import (
    BrokerUnavailable,
    CommitError,
    ConnectionRefused,
    RefusalError,
    SettingRefused,
)
from stream.kafka.kafka_python import common as _kafka_python
from stream.kafka.librdkafka import common as _librdkafka

LOCAL_CODES = 0
BROKERS_CODES = sorted(code for code in _librdkafka._REFUSALS if code > LOCAL_CODES)
ADDRESS = "kafka-internal:9092"


@pytest.mark.parametrize("code", BROKERS_CODES)
def test_both_clients_say_the_same_of_what_the_broker_refuses(code: int) -> None:
    one = _librdkafka.translated(KafkaError(code, "No."), "writing scores")
    other = _kafka_python.translated(errors.for_code(code)("No."), "writing scores")
    unexpected = _kafka_python.translated(
        errors.KafkaError(f"in a response: [Error {code}] it"), "writing scores"
    )
    assert isinstance(one, RefusalError)
    assert type(one) is type(other) is type(unexpected)
    assert len({str(error).rpartition(": ")[2] for error in (one, other, unexpected)}) == 1
    assert all(str(error).startswith("writing scores: ") for error in (one, other, unexpected))


def test_a_refusal_loses_no_epoch_but_ends_the_worker() -> None:
    refused, lost = KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._STATE
    assert isinstance(_librdkafka.not_done(KafkaError(refused), "committing", CommitError), RefusalError)
    assert isinstance(_librdkafka.not_done(KafkaError(lost), "committing", CommitError), CommitError)
    denied, gone = errors.TopicAuthorizationFailedError("t"), errors.IllegalGenerationError()
    assert isinstance(_kafka_python.not_done(denied, "committing", CommitError), RefusalError)
    assert isinstance(_kafka_python.not_done(gone, "committing", CommitError), CommitError)


LIBRDKAFKA_SAYS: list[tuple[int, str, type[Exception] | None]] = [
    (
        KafkaError._SSL,
        "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed",
        ConnectionRefused,
    ),
    (KafkaError._SSL, "SSL handshake failed: SSL transport error: Connection reset by peer", None),
    (
        KafkaError._TRANSPORT,
        "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate",
        ConnectionRefused,
    ),
    (KafkaError._AUTHENTICATION, "SASL authentication error: invalid credentials", ConnectionRefused),
    (KafkaError._AUTHENTICATION, "SASL authentication error: Local: Broker transport failure", None),
    (
        KafkaError._AUTHENTICATION,
        "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism",
        SettingRefused,
    ),
    (KafkaError._TRANSPORT, "Disconnected (after 3ms in state UP)", None),
]


@pytest.mark.parametrize(("code", "said", "kind"), LIBRDKAFKA_SAYS)
def test_librdkafkas_connection_is_refused_or_breaks_off(
    code: int, said: str, kind: type[Exception] | None
) -> None:
    contact = _librdkafka.Contact()
    contact(KafkaError(code, f"sasl_ssl://{ADDRESS}/1: {said}"))
    if kind is None:
        contact.check()
    else:
        with pytest.raises(kind):
            contact.check()


@pytest.mark.parametrize("name", [f"{ADDRESS}/1", f"sasl_ssl://{ADDRESS}/1", f"GroupCoordinator: {ADDRESS}"])
def test_a_time_out_is_explained_by_the_address_that_was_not_reached(name: str) -> None:
    theirs = _librdkafka.Contact()
    theirs(KafkaError(KafkaError._RESOLVE, f"{name}: Failed to resolve it (after 2ms in state CONNECT)"))
    ours = _kafka_python.Contact()
    ours.note(errors.KafkaConnectionError("DNS Resolution failure"), ADDRESS, True, False)
    timed_out = (
        theirs.translated(KafkaError(KafkaError._TIMED_OUT), "reading"),
        ours.translated(errors.KafkaTimeoutError(), "reading"),
    )
    for error in timed_out:
        assert isinstance(error, BrokerUnavailable)
        assert f"{ADDRESS}, the address in a broker's advertised.listeners, cannot be reached" in str(error)
        assert "after 2ms" not in str(error)


KAFKA_PYTHON_SAYS: list[tuple[Exception, bool]] = [
    (
        errors.KafkaConnectionError(
            "Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
        ),
        True,
    ),
    (errors.KafkaConnectionError("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate"), True),
    (
        errors.KafkaConnectionError("Handshake failed: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"),
        False,
    ),
    (errors.SaslAuthenticationFailedError("invalid credentials"), True),
    (errors.KafkaConnectionError("111 ECONNREFUSED"), False),
]


@pytest.mark.parametrize(("error", "refused"), KAFKA_PYTHON_SAYS)
def test_kafka_pythons_connection_is_refused_or_breaks_off(error: Exception, refused: bool) -> None:
    contact = _kafka_python.Contact()
    contact.note(error, ADDRESS, advertised=False, authenticating=True)
    if refused:
        with pytest.raises(ConnectionRefused):
            contact.check()
    else:
        contact.check()


def test_a_connection_cut_off_again_and_again_while_logging_in_is_refused() -> None:
    contact, cut = _kafka_python.Contact(), errors.KafkaConnectionError("socket disconnected")
    for authenticating in (True, True, False, True, True):
        contact.note(cut, ADDRESS, advertised=False, authenticating=authenticating)
    contact.check()
    contact.note(cut, ADDRESS, advertised=False, authenticating=True)
    with pytest.raises(ConnectionRefused, match="sasl_password"):
        contact.check()
