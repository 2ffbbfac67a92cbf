"""`demo` and `watch` end with an exit code and a sentence if a thread of theirs dies, whatever it raised."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from stream.errors import ThreadError
from stream.kafka.embedded import PARTITIONS, EmbeddedBroker
from stream.kafka.librdkafka.source import LibrdkafkaSource
from stream.kafka.tail import Tail
from stream.settings import Settings, load
from tests.support.failing import KINDS, PATIENT
from tests.unit.state.cluster import wait

DYING = """\
import sys
from stream.cli import main, watch
from {module} import {owner}

def die(*_):
    raise {error}("ZQ7-patient")

watch.partitions = lambda *_: {partitions}  # the embedded broker describes no topic
{owner}.{method} = die
sys.argv = ["vitalstream", *sys.argv[1:]]
main.main()
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedBroker() as broker:
        settings = load({"bootstrap_servers": broker.bootstrap_servers}, environment={})
        broker.create(settings.observations_topic, settings.scores_topic, settings.dead_letters_topic)
        yield settings


def dying(module: str, owner: str, method: str, error: str, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of the command, in which calls of this method raise."""
    code = DYING.format(module=module, owner=owner, method=method, error=error, partitions=PARTITIONS)
    command = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert PATIENT not in ended.stderr
    return ended.returncode, ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tail_that_died_says_so(
    settings: Settings, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def poll(*_: object) -> None:
        raise kind(PATIENT)

    monkeypatch.setattr(LibrdkafkaSource, "poll", poll)
    topic = settings.observations_topic
    with closing(Tail(settings, topic, PARTITIONS)) as tail:
        with pytest.raises(ThreadError, match=f"the tail of {topic} thread failed: {kind.__name__} at"):
            wait(lambda: bool(list(tail.drain())))
        with pytest.raises(ThreadError):
            list(tail.drain())


def test_the_demo_ends_with_its_worker() -> None:
    code, last = dying("stream.worker.worker", "Worker", "run", "SystemExit", "demo", "--for", "20")
    assert (code, last.split(" at ")[0]) == (1, "vitalstream: the worker thread failed: SystemExit")


def test_watch_ends_with_its_tails(settings: Settings) -> None:
    where = ("--bootstrap-servers", settings.bootstrap_servers)
    place = ("stream.kafka.librdkafka.source", "LibrdkafkaSource", "poll", "MemoryError")
    code, last = dying(*place, "watch", *where)
    assert (code, last.split(" at ")[0]) == (
        1,
        f"vitalstream: the tail of {settings.scores_topic} thread failed: MemoryError",
    )
