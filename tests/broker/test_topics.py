from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest

from stream.connection import Connection
from stream.errors import TopicError
from stream.topics import Admin, TopicSpec, specs

numbers = count()


@pytest.fixture
def admin(kafka: str) -> Iterator[Admin]:
    with closing(Admin(Connection(kafka))) as client:
        yield client


@pytest.fixture
def wanted() -> list[TopicSpec]:
    prefix = f"topics-{time.time_ns()}-{next(numbers)}"
    return specs(
        observations=f"{prefix}-observations",
        scores=f"{prefix}-scores",
        alerts=f"{prefix}-alerts",
        dead_letters=f"{prefix}-dead-letters",
        changelog=f"{prefix}-changelog",
        partitions=3,
        replication_factor=1,
    )


def test_topics_are_made_as_wanted(admin: Admin, wanted: list[TopicSpec]) -> None:
    complaints = admin.check(wanted)
    assert len(complaints) == 5
    assert all("missing" in complaint for complaint in complaints)
    creation = admin.create(wanted)
    assert (sorted(creation.created), creation.existing) == (sorted(spec.name for spec in wanted), [])
    assert admin.check(wanted) == []
    assert [admin.partitions(spec.name) for spec in wanted] == [3] * 5


def test_topics_that_exist_stay_as_they_are(admin: Admin, wanted: list[TopicSpec]) -> None:
    admin.create([replace(wanted[0], partitions=7)])
    creation = admin.create(wanted)
    assert creation.existing == [wanted[0].name]
    assert len(creation.created) == 4
    assert admin.partitions(wanted[0].name) == 7


def test_each_difference_is_a_sentence(admin: Admin, wanted: list[TopicSpec]) -> None:
    observations, *_, changelog = wanted
    admin.create(
        [
            replace(observations, partitions=2, config={"retention.ms": "1000"}),
            replace(changelog, config={"cleanup.policy": "delete"}),
        ]
    )
    assert admin.check([observations, changelog]) == [
        f"{observations.name} has 2 partitions, not 3",
        f"{observations.name}: retention.ms is 1000, less than 604800000",
        f"{changelog.name}: cleanup.policy is delete, not compact",
        f"{changelog.name}: segment.bytes is 1073741824, more than 67108864",
    ]


def test_more_retention_than_wanted_is_fine(admin: Admin, wanted: list[TopicSpec]) -> None:
    observations = wanted[0]
    admin.create([replace(observations, config={"retention.ms": "-1"})])
    assert admin.check([observations]) == []


def test_a_missing_topic_has_no_partitions(admin: Admin) -> None:
    with pytest.raises(TopicError, match="missing"):
        admin.partitions("there-is-no-such-topic")


def test_what_the_cluster_refuses_is_an_error(admin: Admin, wanted: list[TopicSpec]) -> None:
    with pytest.raises(TopicError, match=wanted[0].name):
        admin.create([replace(wanted[0], replication_factor=99)])
    with pytest.raises(TopicError):
        admin.create([replace(wanted[0], config={"cleanup.policy": "nonsense"})])


def test_overrides_of_librdkafka_do_not_disturb(kafka: str) -> None:
    Admin(Connection(kafka, overrides={"socket.timeout.ms": "5000"})).close()
