"""The command line on a real broker."""

from __future__ import annotations

import json
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from stream.connection import Connection
from stream.kafka.admin import TopicSpec
from stream.kafka.librdkafka.admin import LibrdkafkaAdmin
from stream.synthetic.simulator import Ward
from tests.flow.cli.conftest import Vitalstream
from tests.flow.conftest import make_flow  # noqa: F401
from tests.flow.flow import Flow

numbers = count()
PARTITIONS = 2


@pytest.fixture
def flags(kafka: str) -> list[str]:
    """Flags that name a broker, and topics and a group of this test's own."""
    prefix = f"cli-{time.time_ns()}-{next(numbers)}"
    topics = ("observations", "scores", "alerts", "dead-letters")
    named = [f"--{topic}-topic={prefix}.{topic}" for topic in topics]
    return ["--bootstrap-servers", kafka, "--application-id", prefix, *named]


def topic(flags: list[str], name: str) -> str:
    return next(flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}-topic="))


def create(vitalstream: Vitalstream, flags: list[str]) -> None:
    assert vitalstream("topics", "create", "--partitions", str(PARTITIONS), *flags).code == 0


def test_topics_are_created_once_and_then_as_they_should_be(
    vitalstream: Vitalstream, flags: list[str]
) -> None:
    missing = vitalstream("topics", "check", *flags)
    assert missing.code == 3
    assert topic(flags, "observations") in missing.err

    first = vitalstream("topics", "create", "--partitions", str(PARTITIONS), *flags)
    again = vitalstream("topics", "create", *flags)
    other = vitalstream("topics", "create", "--partitions", "7", *flags)
    assert (other.code, "nothing was created" in other.err) == (3, True)
    assert [line.split()[0] for line in first.out.splitlines()] == ["created"] * 5
    assert [line.split()[0] for line in again.out.splitlines()] == ["exists"] * 5
    checked = vitalstream("topics", "check", *flags)
    assert checked.code == 0
    assert f"{PARTITIONS} partitions" in checked.out


def test_a_topic_that_differs_is_exit_code_3_and_named(
    vitalstream: Vitalstream, flags: list[str], kafka: str
) -> None:
    with closing(LibrdkafkaAdmin(Connection(kafka))) as admin:
        admin.create([TopicSpec(topic(flags, "scores"), 1)])
        names = [topic(flags, one) for one in ("observations", "alerts", "dead-letters")]
        admin.create([TopicSpec(one, PARTITIONS) for one in names])
    for command in (("topics", "check"), ("doctor",)):
        ended = vitalstream(*command, *flags)
        assert ended.code == 3
        said = ended.err if command == ("topics", "check") else ended.out
        assert f"{topic(flags, 'scores')} has 1 partitions, {topic(flags, 'observations')} has 2" in said


def test_the_doctor_finds_all_well(vitalstream: Vitalstream, flags: list[str]) -> None:
    create(vitalstream, flags)
    told = vitalstream("doctor", *flags)
    lines = [line.split()[:2] for line in told.out.splitlines()]
    checks = ["versions", "device", "model", "broker", "topics", "offsets", "keys"]
    checks += ["reading"] * 2 + ["writing"] * 4
    assert lines == [["ok", check] for check in checks]
    rows = json.loads(vitalstream("doctor", "--json", *flags).out)
    assert [(row["check"], row["ok"]) for row in rows] == [(check, True) for check in checks]


def test_the_doctor_goes_on_after_what_is_wrong(
    vitalstream: Vitalstream, flags: list[str], tmp_path: Path
) -> None:
    ended = vitalstream("doctor", *flags, "--model", str(tmp_path))
    told = {line.split()[1]: line for line in ended.out.splitlines()}
    assert ended.code == 4
    assert told["model"].startswith("WRONG")
    assert told["device"].startswith("ok")
    missing = [line for line in told.values() if "topics create" in line]
    assert {line.split()[0] for line in missing} == {"WRONG"}


def test_the_doctor_tells_of_events_that_were_lost(vitalstream: Vitalstream, make_flow: Any) -> None:  # noqa: F811
    flow: Flow = make_flow(partitions=1)
    now = int(time.time() * 1000)
    flow.send(Ward(3, seed=1, start_ms=now - 60_000, interval=60).tick(now - 60_000))
    flow.run()
    assert flow.committed()
    flow.send(Ward(9, seed=2, start_ms=now - 60_000, interval=60).tick(now - 1))
    with closing(KafkaAdminClient(bootstrap_servers=flow.servers)) as admin:
        admin.delete_records({TopicPartition(flow.observations, 0): 5})
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in flow.flags.items()]
    ended = vitalstream("doctor", *flags)
    assert ended.code == 3
    offsets = next(line for line in ended.out.splitlines() if "offsets" in line)
    assert offsets.startswith("WRONG")
    assert "partitions [0]" in offsets


def test_a_worker_sums_up_what_it_did(vitalstream: Vitalstream, make_flow: Any) -> None:  # noqa: F811
    flow: Flow = make_flow()
    now = int(time.time() * 1000)
    events = Ward(10, seed=1, start_ms=now - 600_000, interval=60).tick(now - 1)
    flow.send(events)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in flow.flags.items()]
    ended = vitalstream("run", "--until-idle", "1", "--json", *flags)
    assert ended.code == 0
    figures = {"events": len(events), "scores": len(events), "discharges": 0, "dead_letters": 0}
    assert json.loads(ended.out.splitlines()[-1]) == figures


def test_data_that_is_not_there_is_exit_code_5(
    vitalstream: Vitalstream, flags: list[str], tmp_path: Path
) -> None:
    create(vitalstream, flags)
    own = [*flags[:4], f"--observations-topic={topic(flags, 'observations')}"]
    ended = vitalstream("replay", "--data", str(tmp_path), *own)
    assert ended.code == 5
    assert str(tmp_path) in ended.err
