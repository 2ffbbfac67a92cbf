"""A worker and its topics on the real Kafka: what it refuses, and a topic that is deleted and made again."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from stream.kafka.admin import TopicSpec
from stream.kafka.clients import make_admin
from stream.kafka.identity import LOOK_EVERY_S
from tests.flow.conftest import SLOW_IN_PYTHON, MakeFlow
from tests.flow.flow import Flow, outgoing, wait_until

PATIENCE_S = 60.0


def events(patient: str, minutes: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
    begin = int(time.time() * 1000) - 3_600_000
    return [
        (
            patient,
            {"patient_id": patient, "observed_at": begin + 60_000 * minute, "values": {"HR": 80 + minute}},
        )
        for minute in minutes
    ]


def make_again(flow: Flow, topic: str, config: Mapping[str, str] | None = None) -> None:
    with closing(make_admin(flow.settings())) as admin:
        admin.delete([topic])
        wait_until(lambda: topic not in admin.topics([topic]))
        admin.create([TopicSpec(topic, 1, config=config or {})])


def ended(worker: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = worker.communicate(timeout=PATIENCE_S)
    return worker.returncode, said


def run(flow: Flow, *arguments: str) -> tuple[int, str]:
    return ended(flow.start("--until-idle", "1", *arguments))


def test_a_changelog_that_deletes_is_refused_before_the_first_event(make_flow: MakeFlow) -> None:
    flow = make_flow(partitions=1)
    make_again(flow, flow.changelog, {"cleanup.policy": "delete"})
    flow.send(outgoing(events("a", [0])))
    code, said = run(flow)
    assert code == 3
    assert f"{flow.changelog}: cleanup.policy is delete" in said
    assert f"--entity-name {flow.changelog} --add-config cleanup.policy=compact" in said
    assert flow.scored() == []


def test_a_missing_output_is_refused_and_not_made(make_flow: MakeFlow) -> None:
    flow = make_flow(partitions=1)
    with closing(make_admin(flow.settings())) as admin:
        admin.delete([flow.scores])
        wait_until(lambda: not admin.topics([flow.scores]))
        code, said = run(flow)
        assert (code, f"{flow.scores} is missing" in said) == (3, True)
        assert not admin.topics([flow.scores])


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_an_input_that_is_made_again_between_two_runs_is_a_gap_and_then_read_whole(
    make_flow: MakeFlow, client: str
) -> None:
    flow = make_flow(client, partitions=1)
    flow.send(outgoing(events("a", range(10))))
    assert run(flow)[0] == 0
    before = flow.scored()
    make_again(flow, flow.observations)
    flow.send(outgoing([*events("a", range(10, 15)), *events("b", range(10))]))

    code, said = run(flow)
    assert code == 7
    assert f"{flow.observations}/0: the topic was deleted and made again" in said
    code, said = run(flow, "--on-gap", "skip")
    assert code == 0, said
    assert "goes on at offset 0: the topic was deleted and made again" in said
    after = flow.scored()[len(before) :]
    assert [score["source"]["offset"] for score in after] == list(range(15))
    assert [score["state"]["events"] for score in after][:5] == [11, 12, 13, 14, 15]
    assert len({score["id"] for score in before + after}) == 25

    flow.send(outgoing(events("a", [15])))
    assert run(flow)[0] == 0
    assert flow.scored()[-1]["state"]["events"] == 16


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_topic_that_is_made_again_under_a_worker_ends_it_with_exit_code_7(
    make_flow: MakeFlow, client: str
) -> None:
    flow = make_flow(client, partitions=1)
    flow.send(outgoing(events("a", range(3))))
    worker = flow.start()
    try:
        wait_until(lambda: len(flow.scored()) == 3)
        make_again(flow, flow.observations)
        flow.send(outgoing(events("b", range(10))))
        code, said = ended(worker)
    finally:
        worker.kill()
    assert code == 7, said
    assert flow.observations in said
    assert run(flow)[0] == 7
    code, said = run(flow, "--on-gap", "skip")
    assert code == 0, said
    offsets = {json.loads(one.value or b"")["source"]["offset"] for one in flow.written(flow.scores)[3:]}
    assert offsets >= set(range(10))


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_topic_that_gets_more_partitions_under_a_worker_ends_it(make_flow: MakeFlow, client: str) -> None:
    flow = make_flow(client, partitions=1)
    flow.send(outgoing(events("a", range(3))))
    worker = flow.start()
    try:
        wait_until(lambda: len(flow.scored()) == 3)
        time.sleep(2 * LOOK_EVERY_S)
        admin = AdminClient({"bootstrap.servers": flow.servers})
        admin.create_partitions([NewPartitions(flow.observations, 2)])[flow.observations].result(30)
        code, said = ended(worker)
    finally:
        worker.kill()
    assert code == 3, said
    assert f"{flow.observations} had 1 partitions and has 2" in said
