"""What a cluster refuses for good, and what to do about it; each client's module maps its codes to these."""

from __future__ import annotations

from enum import Enum

from stream.errors import ConnectionRefused, RefusalError, SettingRefused

RIGHTS = "the rights that a worker needs are in docs/security.md"


class Refusal(Enum):
    """The value says what to do."""

    TOPIC = f"allow the user to do so: {RIGHTS}"
    GROUP = f"allow the user READ on the group: {RIGHTS}"
    TRANSACTIONAL_ID = (
        f"allow the user WRITE on the transactional ids that begin with the application_id: {RIGHTS}"
    )
    CLUSTER = f"allow the user IDEMPOTENT_WRITE on the cluster: {RIGHTS}"
    TRANSACTION_TIMEOUT = "transaction_timeout is above the cluster's transaction.max.timeout.ms: lower it"
    LOGIN = "check sasl_username and sasl_password"
    MECHANISM = "set sasl_mechanism to one that the cluster offers"
    TLS = (
        "check security_protocol, ssl_ca_location, and ssl_certificate_location and ssl_key_location if the "
        "cluster asks for a client's certificate"
    )
    VERSION = "the cluster is too old: a worker needs Kafka 2.5 or newer"
    GROUP_SETTINGS = "the group's members must agree, and their time-outs be within the cluster's limits"
    SIZE = "raise the topic's max.message.bytes, or lower max_dead_letter_bytes if it is the dead letters'"
    INSTANCE = "another worker has this instance_id: give each its own"

    def error(self, doing: str, reason: str) -> RefusalError:
        """doing: what was asked, with the name of the resource. reason: the client's own words."""
        kind = _KINDS.get(self, RefusalError)
        return kind(f"{doing}: {reason.rstrip('. ')}: {self.value}")


_KINDS = {
    Refusal.LOGIN: ConnectionRefused,
    Refusal.TLS: ConnectionRefused,
    Refusal.MECHANISM: SettingRefused,
}


def unreachable(address: str, why: str, *, advertised: bool) -> str:
    """A sentence about a broker that cannot be reached. address: host and port."""
    source = "the address in a broker's advertised.listeners" if advertised else "of bootstrap_servers"
    return f"{address}, {source}, cannot be reached: {why}"
