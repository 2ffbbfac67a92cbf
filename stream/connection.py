"""How to reach a Kafka cluster: what every client needs, in the words of the Kafka documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RECONNECT_MS = 1000
"""Longest pause before a broker is tried again: the Java client's `reconnect.backoff.max.ms`. By their own
defaults librdkafka would find a broker that is back after up to 10 s, kafka-python after up to 30."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Frozen and free of any client's types. Secrets do not appear in its repr.

    overrides: further properties of the chosen client in that client's own spelling
        (librdkafka: `"socket.timeout.ms"`, kafka-python: `"request_timeout_ms"`). They win.
    """

    bootstrap_servers: str
    client_id: str = "vitalstream"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    ssl_key_location: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    overrides: Mapping[str, str] = field(default_factory=dict, repr=False)
