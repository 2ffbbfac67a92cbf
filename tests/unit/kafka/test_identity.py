"""Noticing that a topic was made again, without a broker."""

from __future__ import annotations

import time
from contextlib import closing
from queue import SimpleQueue

import pytest

from stream.background import TOPICS, Threads
from stream.errors import BrokerError, BrokerUnavailable, GapError, TopicError
from stream.kafka.admin import UNKNOWN, Topic
from stream.kafka.identity import Identity


class Cluster:
    """made: how many clients have asked it. now: the topics' ids; nobody answers while there are none."""

    def __init__(self, now: dict[str, str]) -> None:
        self.now, self.made, self.asked, self.partitions = now, 0, 0, 4

    def connect(self) -> Cluster:
        self.made += 1
        return self

    def topics(self, names: object) -> dict[str, Topic]:
        self.asked += 1
        if not self.now:
            raise BrokerUnavailable("nobody answers")
        return {name: Topic(id, self.partitions, 1) for name, id in self.now.items()}

    def close(self) -> None: ...


def other(now: dict[str, str], known: dict[str, str]) -> str | None:
    """The topic that is another."""
    cluster = Cluster(now)
    error = Identity(known, cluster.connect, Threads()).changed(cluster)
    assert error is None or isinstance(error, GapError)
    return str(error).partition(":")[0] if error else None


@pytest.mark.parametrize(
    ("now", "wanted"),
    [({"in": "A"}, None), ({"in": "B"}, "in"), ({"else": "B"}, None), ({"in": "A", "states": "B"}, "states")],
)
def test_a_topic_with_another_id_is_another(now: dict[str, str], wanted: str | None) -> None:
    assert other(now, {"in": "A", "states": "A"}) == wanted


def test_a_topic_whose_id_was_unknown_may_be_any() -> None:
    assert other({"in": "B"}, {"in": UNKNOWN}) is None


def test_a_topic_that_gets_more_partitions_ends_the_worker() -> None:
    cluster = Cluster({"in": "A"})
    watching = Identity({"in": "A"}, cluster.connect, Threads())
    assert watching.changed(cluster) is None
    cluster.partitions = 6
    error = watching.changed(cluster)
    assert isinstance(error, TopicError)
    assert "in had 4 partitions and has 6" in str(error)


def test_the_worker_is_ended_with_a_gap_and_a_broker_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.kafka.identity.LOOK_EVERY_S", 0.01)
    cluster = Cluster({})
    told: SimpleQueue[BrokerError] = SimpleQueue()
    threads = Threads()
    with closing(Identity({"in": "A"}, cluster.connect, threads)) as watching:
        watching.open(told.put)
        while cluster.made < 3:
            time.sleep(0.01)
        cluster.now["in"] = "A"
        made = cluster.made
        while cluster.asked < made + 10:
            time.sleep(0.01)
        assert cluster.made <= made + 1, "a client that works is kept"
        cluster.now["in"] = "B"
        error = told.get(timeout=10)
    assert isinstance(error, GapError)
    assert str(error).startswith("in: the topic was deleted and made again while the worker ran")
    assert TOPICS not in threads.down
