from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest

from stream.admin.admin import Admin, TopicSpec
from stream.admin.librdkafka import LibrdkafkaAdmin
from stream.connection import Connection
from stream.topics import check, specs

numbers = count()


@pytest.fixture
def admin(kafka: str) -> Iterator[Admin]:
    with closing(LibrdkafkaAdmin(Connection(kafka))) as client:
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
    complaints = check(admin, wanted)
    assert len(complaints) == 5
    assert all("missing" in complaint for complaint in complaints)
    creation = admin.create(wanted)
    assert (sorted(creation.created), creation.existing) == (sorted(spec.name for spec in wanted), [])
    assert check(admin, wanted) == []


def test_each_difference_is_a_sentence(admin: Admin, wanted: list[TopicSpec]) -> None:
    observations, *_, changelog = wanted
    admin.create(
        [
            replace(observations, partitions=2, config={"retention.ms": "1000"}),
            replace(changelog, config={"cleanup.policy": "delete"}),
        ]
    )
    assert check(admin, [observations, changelog]) == [
        f"{observations.name} has 2 partitions, not 3",
        f"{observations.name}: retention.ms is 1000, less than 604800000",
        f"{changelog.name}: cleanup.policy is delete, not compact",
        f"{changelog.name}: segment.bytes is 1073741824, more than 67108864",
    ]


def test_more_retention_than_wanted_is_fine(admin: Admin, wanted: list[TopicSpec]) -> None:
    observations = wanted[0]
    admin.create([replace(observations, config={"retention.ms": "-1"})])
    assert check(admin, [observations]) == []
