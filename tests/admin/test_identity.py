"""Noticing that a topic was made again, without a broker."""

from __future__ import annotations

from contextlib import closing
from queue import SimpleQueue

import pytest

from stream.admin.admin import UNKNOWN, Topic
from stream.admin.identity import Identity
from stream.background import TOPICS, Threads
from stream.errors import BrokerError, BrokerUnavailable, GapError


def identity(now: dict[str, str], known: dict[str, str], threads: Threads) -> Identity:
    def look(names: object) -> dict[str, Topic]:
        if not now:
            raise BrokerUnavailable("nobody answers")
        return {name: Topic(id, 1, 1) for name, id in now.items()}

    return Identity(known, look, threads)


@pytest.mark.parametrize(
    ("now", "other"),
    [({"in": "A"}, None), ({"in": "B"}, "in"), ({"else": "B"}, None), ({"in": "A", "states": "B"}, "states")],
)
def test_a_topic_with_another_id_is_another(now: dict[str, str], other: str | None) -> None:
    assert identity(now, {"in": "A", "states": "A"}, Threads()).other() == other


def test_a_topic_whose_id_was_unknown_may_be_any() -> None:
    assert identity({"in": "B"}, {"in": UNKNOWN}, Threads()).other() is None


def test_the_worker_is_ended_with_a_gap_and_a_broker_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.admin.identity.LOOK_EVERY_S", 0.01)
    now: dict[str, str] = {}
    told: SimpleQueue[BrokerError] = SimpleQueue()
    threads = Threads()
    with closing(identity(now, {"in": "A"}, threads)) as watching:
        watching.open(told.put)
        now["in"] = "B"
        error = told.get(timeout=10)
    assert isinstance(error, GapError)
    assert str(error).startswith("in: the topic was deleted and made again while the worker ran")
    assert TOPICS not in threads.down
