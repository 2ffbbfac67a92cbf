"""A real Kafka that refuses: TLS, SCRAM and an authorizer, and a plain listener for whoever sets it up."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.broker.server import is_free
from tests.chaos.brokers import brokers

PASSWORD = "correct horse battery staple"
UNRESOLVABLE = "kafka-internal.example.invalid:9092"
MAX_TRANSACTION_S = 60

PROPERTIES = """\
listeners=PLAINTEXT://{{broker}},CONTROLLER://{{controller}},{listeners}
advertised.listeners=PLAINTEXT://{{broker}},{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL,HIDDEN:PLAINTEXT,CLOSED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \\
  required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
transaction.max.timeout.ms={max_transaction_ms}
"""


class Right(NamedTuple):
    """A line of an access control list. resource: topic, group, transactional_id or cluster. prefixed: of
    every name that begins with `name`."""

    resource: str
    name: str
    operation: str
    prefixed: bool = False


@dataclass(frozen=True)
class Secured:
    """servers: the plain listener, at which everything is allowed. The others want TLS and SCRAM (`scram`),
    or a client's certificate (`mutual`), or advertise an address of no host (`hidden`) or of no listener
    (`closed`)."""

    servers: str
    scram: str
    mutual: str
    hidden: str
    closed: str
    closed_at: str
    ca: Path
    stranger: Path
    certificate: Path
    key: Path

    def flags(self, user: str, **flags: Any) -> dict[str, Any]:
        """Settings of a client that logs in as `user`."""
        return {
            "bootstrap_servers": self.scram,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_ca_location": str(self.ca),
        } | flags

    def add_user(self, user: str, rights: Iterable[Right] = ()) -> None:
        """A user who may do this and nothing else."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        added = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, credential, PASSWORD.encode())]
        )
        allowed = admin.create_acls([_binding(user, right) for right in rights]) if rights else {}
        for done in (*added.values(), *allowed.values()):
            done.result(timeout=10)


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    folder.mkdir(parents=True, exist_ok=True)
    ca = trustme.CA()
    server, client = ca.issue_cert("127.0.0.1", "localhost"), ca.issue_cert("worker@example.org")
    files = {name: folder / f"{name}.pem" for name in ("ca", "stranger", "server", "certificate", "key")}
    ca.cert_pem.write_to_path(files["ca"])
    trustme.CA().cert_pem.write_to_path(files["stranger"])
    files["server"].write_bytes(_pkcs8(server) + server.cert_chain_pems[0].bytes())
    files["key"].write_bytes(_pkcs8(client))
    client.cert_chain_pems[0].write_to_path(files["certificate"])
    ports = dict(zip(("scram", "mutual", "hidden", "closed", "nobody"), _ports(5), strict=True))
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    listeners = [f"{name.upper()}://{at[name]}" for name in ("scram", "mutual", "hidden", "closed")]
    advertised = [*listeners[:2], f"HIDDEN://{UNRESOLVABLE}", f"CLOSED://{at['nobody']}"]
    more = PROPERTIES.format(
        listeners=",".join(listeners),
        advertised=",".join(advertised),
        keystore=files["server"],
        ca=files["ca"],
        max_transaction_ms=MAX_TRANSACTION_S * 1000,
    )
    with brokers(folder / "kafka", more=more) as own:
        yield Secured(
            own.servers,
            at["scram"],
            at["mutual"],
            at["hidden"],
            at["closed"],
            at["nobody"],
            files["ca"],
            files["stranger"],
            files["certificate"],
            files["key"],
        )


def _binding(user: str, right: Right) -> AclBinding:
    kinds = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional_id": ResourceType.TRANSACTIONAL_ID,
        "cluster": ResourceType.BROKER,
    }
    pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
    operation = AclOperation[right.operation.upper()]
    return AclBinding(
        kinds[right.resource],
        right.name,
        pattern,
        f"User:{user}",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )


def _pkcs8(certificate: trustme.LeafCert) -> bytes:
    """Its private key, in the one encoding that Kafka reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _ports(count: int) -> list[int]:
    """Free ones, of which no two are the same."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    assert all(map(is_free, ports))
    return ports
