"""Administration over kafka-python."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    GroupIdNotFoundError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from stream.connection import Connection
from stream.errors import BrokerError, RefusalError, TopicError
from stream.kafka.admin import REQUEST_TIMEOUT_S, UNKNOWN, ConsumerGroup, Creation, Topic, TopicSpec
from stream.kafka.kafka_python.common import Contact, configuration, create, translated


class KafkaPythonAdmin:
    """An `Admin`. Of the connection's overrides it takes those that kafka-python's admin client knows."""

    def __init__(self, connection: Connection) -> None:
        known = KafkaAdminClient.DEFAULT_CONFIG.keys()
        own = {"metrics_enabled": False, "request_timeout_ms": int(1000 * REQUEST_TIMEOUT_S)}
        settings = configuration(connection, own)
        self._contact = Contact()
        settings = {name: value for name, value in settings.items() if name in known}
        self._client: KafkaAdminClient = create(KafkaAdminClient, settings, self._contact)

    def create(self, specs: Sequence[TopicSpec]) -> Creation:
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
                raise self._not_created(topic["name"], error(topic["error_message"] or ""))
            else:
                created.append(topic["name"])
        self._ask("waiting for topics", self._client.wait_for_topics, created)
        return Creation(created, existing)

    def delete(self, topics: Sequence[str]) -> None:
        self._ask("deleting topics", self._client.delete_topics, list(topics))

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        topics = {}
        for topic in self._ask(f"describing {', '.join(names)}", self._client.describe_topics, list(names)):
            error = for_code(topic["error_code"])
            if error is UnknownTopicOrPartitionError:
                continue
            if topic["error_code"]:
                raise translated(error(), f"describing {topic['name']}")
            copies = min((len(partition["replica_nodes"]) for partition in topic["partitions"]), default=0)
            allowed = frozenset(topic.get("authorized_operations") or ())
            topics[topic["name"]] = Topic(
                _id(topic.get("topic_id")), len(topic["partitions"]), copies, allowed
            )
        return topics

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        return self._configs(resources, "topic") if resources else {}

    def broker_config(self) -> dict[str, str]:
        brokers = self._ask("describing the cluster", self._client.describe_cluster)["brokers"]
        resource = ConfigResource(ConfigResourceType.BROKER, str(brokers[0]["broker_id"]))
        (configs,) = self._configs([resource], "broker").values()
        return configs

    def group(self, name: str) -> ConsumerGroup:
        """A coordinator that has moved says so in the answer, and kafka-python raises nothing."""
        description = self._ask(f"describing the group {name}", self._client.describe_groups, [name])[name]
        if description["error"] is not None and description["group_state"] != "Dead":
            if GroupIdNotFoundError.__name__ in description["error"]:
                return ConsumerGroup(False, [])
            raise translated(KafkaError(description["error"]), f"describing the group {name}")
        return ConsumerGroup(
            description["group_state"] == "Stable", [_owned(member) for member in description["members"]]
        )

    def close(self) -> None:
        self._client.close()

    def _configs(self, resources: list[ConfigResource], kind: str) -> dict[str, dict[str, str]]:
        describe = self._client.describe_configs
        answer = self._ask(
            f"reading settings of {', '.join(one.name for one in resources)}",
            describe,
            resources,
            config_filter="all",
        )
        configs = {}
        for name, settings in answer[kind].items():
            if not settings:  # kafka-python leaves the error out
                raise TopicError(f"reading settings of {name}: it is missing, or DescribeConfigs is denied")
            configs[name] = {setting: entry["value"] or "" for setting, entry in settings.items()}
        return configs

    def _ask(self, doing: str, request: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        try:
            return request(*arguments, **keywords)
        except KafkaError as error:
            raise self._contact.translated(error, doing) from error

    def _not_created(self, topic: str, error: KafkaError) -> BrokerError:
        failed = translated(error, f"creating {topic}")
        return failed if isinstance(failed, RefusalError) else TopicError(f"{topic}: not created: {error}")


def _id(given: str | None) -> str:
    if not given or not (number := uuid.UUID(given)).int:
        return UNKNOWN
    return base64.urlsafe_b64encode(number.bytes).decode().rstrip("=")


def _owned(member: dict[str, Any]) -> dict[str, set[int]]:
    assigned = member["member_assignment"]
    if not assigned:
        return {}
    return {owned["topic"]: set(owned["partitions"]) for owned in assigned["assigned_partitions"]}
