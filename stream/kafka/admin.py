"""Admin: making topics and looking at them and at groups. One interface, one file for each client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from stream.errors import TopicError

BROKERS_DEFAULT = -1
UNKNOWN = ""
REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic should be. config: its settings in Kafka's words."""

    name: str
    partitions: int
    replication_factor: int = BROKERS_DEFAULT
    config: Mapping[str, str] = field(default_factory=dict)


class Creation(NamedTuple):
    created: list[str]
    existing: list[str]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists. id: as Kafka's own tools write it (KIP-516), `UNKNOWN` if the broker has none: a
    topic that is deleted and made again has another. replication_factor: the least of its partitions.
    allowed: the operations that this user may do, in Kafka's words (READ, DESCRIBE_CONFIGS)."""

    id: str
    partitions: int
    replication_factor: int
    allowed: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group. stable: it is not rebalancing, nor empty. members: what each owns, partitions by
    topic."""

    stable: bool
    members: Sequence[Mapping[str, Set[int]]]


class Admin(Protocol):
    """Every method blocks until the brokers have answered, `REQUEST_TIMEOUT_S` or the client's own limit at
    most, and raises `BrokerError`: `BrokerUnavailable` if none answers in time. Not thread-safe. None of them
    makes a topic but `create`, whatever the brokers make by themselves.

    Making one may connect: it raises `SettingsError` and `BrokerUnavailable`.
    """

    def create(self, specs: Sequence[TopicSpec]) -> Creation:
        """Make the topics that are missing, wait until they can be used, and leave the others as they are.
        Raises `TopicError` for a topic that the cluster refuses; others may be made by then."""

    def delete(self, topics: Sequence[str]) -> None:
        """Delete topics. Raises `TopicError` for one that is missing. Brokers forget them a moment later."""

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Those of the named topics that exist."""

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """All settings of each of these topics, defaults included. Raises `TopicError` if one is missing."""

    def broker_config(self) -> dict[str, str]:
        """All settings of one of the brokers, without secrets."""

    def group(self, name: str) -> ConsumerGroup:
        """A consumer group; one that does not exist has no members."""

    def close(self) -> None: ...


def partition_count(admin: Admin, topic: str) -> int:
    """Number of partitions of a topic. Raises `TopicError` if it is missing, `BrokerError`."""
    if (description := admin.topics([topic]).get(topic)) is None:
        raise TopicError(missing(topic))
    return description.partitions


def missing(topic: str) -> str:
    return f"{topic} is missing: create it with `vitalstream topics create`"
