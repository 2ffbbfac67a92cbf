"""What topics should be, without a broker."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import TopicError
from stream.kafka.admin import Topic
from stream.kafka.topics import agreed_partitions, faults, names, refuse, specs
from stream.settings import Settings, load

SETTINGS = load({"bootstrap_servers": "kafka:9092"}, environment={})
INPUT, SCORES, ALERTS, LETTERS, CHANGELOG = names(SETTINGS)
DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "max.message.bytes": "1048588",
    "segment.bytes": "1073741824",
    "min.insync.replicas": "1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "3600000",
}


class Cluster:
    """An `Admin` that only looks. topics: replication and configs are those that `specs` makes."""

    def __init__(self, partitions: int = 4, replicas: int = 1, settings: Settings = SETTINGS) -> None:
        wanted = specs(settings, partitions, replicas)
        self.found = {one.name: Topic("", partitions, replicas) for one in wanted}
        self.settings = {one.name: DEFAULTS | dict(one.config) for one in wanted}

    def topics(self, names: list[str]) -> dict[str, Topic]:
        return {name: topic for name, topic in self.found.items() if name in names}


def found(cluster: Cluster) -> list[tuple[str, bool]]:
    return [(str(fault), fault.fatal) for fault in faults(SETTINGS, cluster.found, cluster.settings)]


@pytest.mark.parametrize("replicas", [1, 3])
def test_topics_that_are_made_as_wanted_have_no_faults(replicas: int) -> None:
    assert found(Cluster(replicas=replicas)) == []


@pytest.mark.parametrize("topic", [INPUT, SCORES, ALERTS, LETTERS, CHANGELOG])
def test_a_missing_topic_is_refused(topic: str) -> None:
    cluster = Cluster()
    del cluster.found[topic]
    assert found(cluster) == [(f"{topic} is missing: create it with `vitalstream topics create`", True)]


@pytest.mark.parametrize("topic", [SCORES, ALERTS, LETTERS, CHANGELOG])
def test_fewer_partitions_than_the_input_has_are_refused(topic: str) -> None:
    cluster = Cluster()
    cluster.found[topic] = Topic("", 1, 1)
    ((what, fatal),) = found(cluster)
    assert fatal and what.startswith(f"{topic} has 1 partitions, {INPUT} has 4: ")
    assert ("--alter" in what) == (topic != CHANGELOG)


def test_more_partitions_are_refused_of_the_changelog_alone() -> None:
    for topic in (SCORES, CHANGELOG):
        cluster = Cluster()
        cluster.found[topic] = Topic("", 8, 1)
        assert [fatal for _, fatal in found(cluster)] == [topic == CHANGELOG]


REFUSED: list[tuple[str, str, str, str]] = [
    (CHANGELOG, "cleanup.policy", "delete", "compact"),
    (CHANGELOG, "cleanup.policy", "compact,delete", "compact"),
    (INPUT, "cleanup.policy", "compact", "delete"),
]
WARNED = [
    (INPUT, "retention.ms", "1000", "604800000"),
    (SCORES, "cleanup.policy", "compact,delete", "delete"),
    (INPUT, "message.timestamp.type", "CreateTime", "LogAppendTime"),
    (LETTERS, "max.message.bytes", "1048588", "2097152"),
    (CHANGELOG, "segment.bytes", "1073741824", "67108864"),
]


@pytest.mark.parametrize(
    ("topic", "setting", "value", "wanted", "refused"),
    [(*one, True) for one in REFUSED] + [(*one, False) for one in WARNED],
)
def test_a_setting_that_loses_records_is_named_with_the_command_that_mends_it(
    topic: str, setting: str, value: str, wanted: str, refused: bool
) -> None:
    cluster = Cluster()
    cluster.settings[topic][setting] = value
    ((what, fatal),) = found(cluster)
    assert fatal == refused
    assert what.startswith(f"{topic}: {setting} is {value}, ")
    alter = f"--alter --entity-type topics --entity-name {topic} --add-config {setting}={wanted}"
    assert what.endswith(f": kafka-configs.sh --bootstrap-server kafka:9092 {alter}")


@pytest.mark.parametrize("limit", ["before", "after"])
@pytest.mark.parametrize("topic", [SCORES, ALERTS, LETTERS])
def test_an_output_that_refuses_old_timestamps_is_refused(topic: str, limit: str) -> None:
    cluster = Cluster()
    cluster.settings[topic][f"message.timestamp.{limit}.max.ms"] = "1000"
    assert found(cluster) == []  # the broker's time is never refused
    cluster.settings[topic]["message.timestamp.type"] = "CreateTime"
    ((what, fatal),) = found(cluster)
    assert fatal and "LogAppendTime" in what


def test_more_retention_than_wanted_is_fine() -> None:
    cluster = Cluster()
    cluster.settings[INPUT] |= {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
    assert found(cluster) == []


def test_three_replicas_want_two_in_sync() -> None:
    cluster = Cluster(replicas=3)
    cluster.settings[SCORES]["min.insync.replicas"] = "1"
    ((what, fatal),) = found(cluster)
    assert what.startswith(f"{SCORES}: min.insync.replicas is 1, ") and not fatal


@pytest.mark.parametrize(
    ("replicas", "copies", "wanted"), [(3, 0, "2"), (-1, 3, "2"), (-1, 1, None), (2, 0, None)]
)
def test_topics_with_three_copies_are_made_with_two_in_sync(
    replicas: int, copies: int, wanted: str | None
) -> None:
    made = specs(SETTINGS, 4, replicas, copies)
    assert {one.config.get("min.insync.replicas") for one in made} == {wanted}


def test_refusing_raises_what_is_fatal_alone() -> None:
    cluster = Cluster()
    cluster.settings[INPUT]["retention.ms"] = "1000"
    refuse(list(faults(SETTINGS, cluster.found, cluster.settings)))
    cluster.settings[CHANGELOG]["cleanup.policy"] = "delete"
    with pytest.raises(TopicError, match="cleanup") as error:
        refuse(list(faults(SETTINGS, cluster.found, cluster.settings)))
    assert "retention" not in str(error.value)


def agreed(cluster: Cluster, wanted: int | None) -> int:
    admin: Any = cluster
    return agreed_partitions(SETTINGS, admin, wanted)


def test_missing_topics_get_as_many_partitions_as_those_that_exist_have() -> None:
    cluster = Cluster(8)
    cluster.found = {INPUT: cluster.found[INPUT]}
    assert (agreed(cluster, None), agreed(cluster, 8)) == (8, 8)
    with pytest.raises(TopicError, match=f"{INPUT} has 8 partitions, --partitions is 4.*nothing was created"):
        agreed(cluster, 4)
    cluster.found[SCORES] = Topic("", 3, 1)
    with pytest.raises(TopicError, match=r"has 8.*has 3"):
        agreed(cluster, None)
    cluster.found = {}
    assert (agreed(cluster, None), agreed(cluster, 7)) == (4, 7)
