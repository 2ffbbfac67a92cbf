"""The topics that vitalstream reads and writes: what they should be, making them, checking them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from kafka.partitioner.default import murmur2

from stream._kafka_python import configuration, create, translated
from stream.connection import Connection
from stream.errors import BrokerUnavailable, TopicError

Result = TypeVar("Result")

BROKERS_DEFAULT = -1
WEEK_MS = 7 * 24 * 60 * 60 * 1000
# A refused record goes to the dead letters whole, with headers added: more than an input may hold.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# A changelog's last segment is never compacted, and read whole on every restore.
CHANGELOG_SEGMENT_BYTES = 64 * 1024 * 1024
AT_LEAST = {"retention.ms", "max.message.bytes"}
AT_MOST = {"segment.bytes"}
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic should be. config: its settings in Kafka's words; of those in `AT_LEAST` more is
    fine, of those in `AT_MOST` less."""

    name: str
    partitions: int
    replication_factor: int = BROKERS_DEFAULT
    config: Mapping[str, str] = field(default_factory=dict)


class Creation(NamedTuple):
    created: list[str]
    existing: list[str]


def specs(
    *,
    observations: str,
    scores: str,
    alerts: str,
    dead_letters: str,
    changelog: str,
    partitions: int,
    replication_factor: int = BROKERS_DEFAULT,
) -> list[TopicSpec]:
    """The five topics. All have the same number of partitions: a patient is in the same one of each."""
    kept = {"cleanup.policy": "delete", "retention.ms": str(WEEK_MS)}
    settings = {
        observations: kept,
        scores: kept,
        alerts: kept,
        dead_letters: kept | {"max.message.bytes": str(DEAD_LETTER_BYTES)},
        changelog: {"cleanup.policy": "compact", "segment.bytes": str(CHANGELOG_SEGMENT_BYTES)},
    }
    return [TopicSpec(name, partitions, replication_factor, config) for name, config in settings.items()]


class Admin:
    """Makes and inspects topics. Every method blocks and raises `BrokerError`.

    It speaks through kafka-python whichever client carries the records; of the connection's overrides it
    takes those that kafka-python knows. Creating it connects, and raises `BrokerUnavailable`.
    """

    def __init__(self, connection: Connection) -> None:
        known = KafkaAdminClient.DEFAULT_CONFIG.keys()
        settings = configuration(connection, {"metrics_enabled": False})
        self._client: KafkaAdminClient = create(
            KafkaAdminClient, {name: value for name, value in settings.items() if name in known}
        )

    def create(self, specs: Sequence[TopicSpec]) -> Creation:
        """Make the topics that are missing, wait until they can be used, and leave the others as they are."""
        wanted = {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication_factor,
                "configs": dict(spec.config),
            }
            for spec in specs
        }
        answer = self._ask("creating topics", self._client.create_topics, wanted, raise_errors=False)
        created, existing = [], []
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if error is TopicAlreadyExistsError:
                existing.append(topic["name"])
            elif topic["error_code"]:
                raise TopicError(f"{topic['name']}: not created: {topic['error_message'] or error.__name__}")
            else:
                created.append(topic["name"])
        self._ask("waiting for topics", self._client.wait_for_topics, created)
        return Creation(created, existing)

    def check(self, specs: Sequence[TopicSpec]) -> list[str]:
        """A sentence for each thing that is not as wanted; empty if all is."""
        counts = self._partition_counts([spec.name for spec in specs])
        configs = self._configs([name for name in counts if counts[name]])
        complaints = []
        for spec in specs:
            if not counts[spec.name]:
                complaints.append(f"{spec.name} is missing: create it with `vitalstream topics create`")
            else:
                complaints += _complaints(spec, counts[spec.name], configs[spec.name])
        return complaints

    def partitions(self, topic: str) -> int:
        """Number of partitions. Raises `TopicError` where there is no such topic."""
        count = self._partition_counts([topic])[topic]
        if not count:
            raise TopicError(f"{topic} is missing: create it with `vitalstream topics create`")
        return count

    def members(self, group: str) -> int:
        """How many members the consumer group has now; 0 where there is no such group."""
        return len(self._group(group)["members"])

    def unassigned(self, group: str, topic: str) -> set[int]:
        """Partitions of the topic that no member of the group owns; none where it rebalances or is empty."""
        found = self._group(group)
        if found["group_state"] != "Stable":
            return set()
        owned = {
            partition
            for member in found["members"]
            for assigned in member["member_assignment"]["assigned_partitions"]
            if assigned["topic"] == topic
            for partition in assigned["partitions"]
        }
        return set(range(self.partitions(topic))) - owned

    def close(self) -> None:
        self._client.close()

    def _group(self, group: str) -> dict[str, Any]:
        """As kafka-python describes it. A coordinator that has moved says so there, and it raises nothing."""
        found: dict[str, Any] = self._ask("describing the group", self._client.describe_groups, [group])[
            group
        ]
        if found["error"] is not None and found["group_state"] != "Dead":
            raise BrokerUnavailable(f"describing the group {group}: {found['error']}")
        return found

    def _partition_counts(self, topics: list[str]) -> dict[str, int]:
        """Of each topic; 0 for one that does not exist."""
        counts = {}
        for topic in self._ask("describing topics", self._client.describe_topics, topics):
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not UnknownTopicOrPartitionError:
                raise translated(error(), f"describing {topic['name']}")
            counts[topic["name"]] = len(topic["partitions"])
        return counts

    def _configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        if not resources:
            return {}
        answer = self._ask(
            "reading topic settings", self._client.describe_configs, resources, config_filter="all"
        )
        return {
            topic: {name: setting["value"] for name, setting in settings.items()}
            for topic, settings in answer["topic"].items()
        }

    def _ask(self, doing: str, request: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        try:
            return request(*arguments, **keywords)
        except KafkaError as error:
            raise translated(error, doing) from None


def partition_of(key: bytes, partitions: int) -> int:
    """Where the Java client sends a record of this key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _complaints(spec: TopicSpec, partitions: int, config: Mapping[str, str]) -> list[str]:
    complaints = []
    if partitions != spec.partitions:
        complaints.append(f"{spec.name} has {partitions} partitions, not {spec.partitions}")
    for name, wanted in spec.config.items():
        found = config[name]
        if name in AT_LEAST:
            if int(found) != UNLIMITED and int(found) < int(wanted):
                complaints.append(f"{spec.name}: {name} is {found}, less than {wanted}")
        elif name in AT_MOST:
            if int(found) > int(wanted):
                complaints.append(f"{spec.name}: {name} is {found}, more than {wanted}")
        elif set(found.split(",")) != set(wanted.split(",")):
            complaints.append(f"{spec.name}: {name} is {found}, not {wanted}")
    return complaints
