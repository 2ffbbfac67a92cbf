"""Administration over librdkafka."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import (
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    TopicCollection,
    Uuid,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    ConsumerGroupDescription,
    MemberDescription,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from stream.connection import Connection
from stream.errors import BrokerError, BrokerUnavailable, RefusalError, TopicError
from stream.kafka.admin import REQUEST_TIMEOUT_S, UNKNOWN, ConsumerGroup, Creation, Topic, TopicSpec
from stream.kafka.librdkafka.common import Contact, configuration, create, reason

Result = TypeVar("Result")

SLICE_S = 0.5
USABLE_S = 10.0
LOOK_EVERY_S = 0.05
GROUPS = "__consumer_offsets"
NO_ID = str(Uuid(0, 0))
FILE_NAMES = str.maketrans("+/", "-_")


class LibrdkafkaAdmin:
    """An `Admin`. Making one does not connect."""

    def __init__(self, connection: Connection) -> None:
        self._contact = Contact()
        self._controlled = False
        self._client = create(AdminClient, configuration(connection, {"error_cb": self._contact}))

    def create(self, specs: Sequence[TopicSpec]) -> Creation:
        wanted = [
            NewTopic(
                spec.name,
                num_partitions=spec.partitions,
                replication_factor=spec.replication_factor,
                config=dict(spec.config),
            )
            for spec in specs
        ]
        created, existing = [], []
        for topic, future in self._client.create_topics(wanted, request_timeout=REQUEST_TIMEOUT_S).items():
            try:
                self._result(future)
                created.append(topic)
            except KafkaException as error:
                if reason(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._not_created(topic, error) from error
                existing.append(topic)
        self._wait_until_usable(created)
        return Creation(created, existing)

    def delete(self, topics: Sequence[str]) -> None:
        deleting = self._client.delete_topics(list(topics), request_timeout=REQUEST_TIMEOUT_S)
        for topic, future in deleting.items():
            self._answer(future, f"deleting {topic}")

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        return {
            name: Topic(_id(topic.topic_id), len(topic.partitions), _copies(topic), _allowed(topic))
            for name, topic in self._described(names).items()
        }

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        return self._configs([ConfigResource(ResourceType.TOPIC, topic) for topic in topics])

    def broker_config(self) -> dict[str, str]:
        describing = self._client.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)
        brokers = self._answer(describing, "describing the cluster").nodes
        (configs,) = self._configs([ConfigResource(ResourceType.BROKER, brokers[0].id_string)]).values()
        return configs

    def group(self, name: str) -> ConsumerGroup:
        asked = self._client.describe_consumer_groups([name], request_timeout=REQUEST_TIMEOUT_S)
        try:
            description: ConsumerGroupDescription = self._result(asked[name])
        except KafkaException as error:
            if reason(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return ConsumerGroup(False, [])
            raise self._failed(error, f"describing the group {name}") from error
        stable = description.state == ConsumerGroupState.STABLE
        return ConsumerGroup(stable, [_owned(member) for member in description.members])

    def close(self) -> None:
        """Repeatable. librdkafka's client is closed by being forgotten."""
        self.__dict__.pop("_client", None)

    def _described(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        if not names:
            return {}
        self._ask_for_controller()
        asked = self._client.describe_topics(
            TopicCollection(list(names)),
            request_timeout=REQUEST_TIMEOUT_S,
            include_authorized_operations=True,
        )
        configs = {}
        for name, future in asked.items():
            try:
                configs[name] = self._result(future)
            except KafkaException as error:
                if reason(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._failed(error, f"describing {name}") from error
        return configs

    def _ask_for_controller(self) -> None:
        """Every request would wait in vain for a controller, if there is none (librdkafka's mock cluster)."""
        if self._controlled:
            return
        try:
            metadata = self._client.list_topics(GROUPS, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise self._failed(error, "asking for the controller") from error
        if metadata.controller_id not in metadata.brokers:
            raise RefusalError("these brokers have no controller, and so no administration")
        self._controlled = True

    def _configs(self, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
        if not resources:
            return {}
        asked = self._client.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        return {
            resource.name: _values(self._answer(future, f"reading settings of {resource.name}"))
            for resource, future in asked.items()
        }

    def _wait_until_usable(self, topics: Sequence[str]) -> None:
        deadline = time.monotonic() + USABLE_S
        while True:
            described = self._described(topics)
            led = {name for name, topic in described.items() if all(part.leader for part in topic.partitions)}
            if not (waiting := sorted(set(topics) - led)):
                return
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"{', '.join(waiting)}: not usable {USABLE_S:g} s after creation")
            time.sleep(LOOK_EVERY_S)

    def _answer(self, asked: Future[Result], doing: str) -> Result:
        try:
            return self._result(asked)
        except KafkaException as error:
            raise self._failed(error, doing) from error

    def _result(self, asked: Future[Result]) -> Result:
        """Raises a refusal of the connection as soon as it is known, long before the request times out."""
        while True:
            with suppress(TimeoutError):
                return asked.result(SLICE_S)
            self._client.poll(0)
            self._contact.check()

    def _not_created(self, topic: str, error: KafkaException) -> BrokerError:
        failed = self._failed(error, f"creating {topic}")
        if isinstance(failed, BrokerUnavailable | RefusalError):
            return failed
        return TopicError(f"{topic}: not created: {reason(error).str()}")

    def _failed(self, error: KafkaException, doing: str) -> BrokerError:
        """What the client as a whole was refused says more than the time-out of one request."""
        self._client.poll(0)
        return self._contact.translated(reason(error), doing)


def _id(given: Uuid) -> str:
    """Kafka's own tools write it with the characters of file names, librdkafka with those of MIME."""
    return UNKNOWN if (text := str(given)) == NO_ID else text.translate(FILE_NAMES)


def _copies(topic: TopicDescription) -> int:
    return min((len(partition.replicas) for partition in topic.partitions), default=0)


def _allowed(topic: TopicDescription) -> set[str]:
    return {operation.name for operation in topic.authorized_operations or ()}


def _values(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry.value or "" for name, entry in entries.items()}


def _owned(member: MemberDescription) -> dict[str, set[int]]:
    owned: dict[str, set[int]] = {}
    for partition in member.assignment.topic_partitions if member.assignment else ():
        owned.setdefault(partition.topic, set()).add(partition.partition)
    return owned
