"""With `--on-gap skip` a worker goes on behind every gap, with both guarantees, and commits what it does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from stream.errors import GapError
from stream.kafka.memory import Cluster
from stream.state.restore import Rules
from stream.worker import assembly
from tests.unit.worker.loop.ward import PARTITIONS, Ward
from tests.unit.worker.loop.worker import INPUT, SCORES, work

CHANGELOG = "vitalstream-patient-state-changelog"


def lose_states(cluster: Cluster) -> None:
    cluster.logs[CHANGELOG] = [[] for _ in range(PARTITIONS)]


def cut(cluster: Cluster) -> None:
    for log in cluster.logs[INPUT]:
        del log[2:]


def make_again(cluster: Cluster) -> None:
    cluster.logs[INPUT] = [[] for _ in range(PARTITIONS)]
    cluster.offsets = {}


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("gap", [lose_states, cut, make_again])
def test_every_gap_can_be_skipped(
    gap: Callable[[Cluster], None], guarantee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "Rules", lambda topic, **rules: Rules(topic, **rules | {"patience": 0.1}))
    cluster = Cluster(PARTITIONS, INPUT)
    ward = Ward(cluster)
    for place in (0, 3) * 5:
        ward.observe(place, 80, 1)
    work(cluster, guarantee)
    gap(cluster)
    with pytest.raises(GapError):
        work(cluster, guarantee)
    before = len(cluster.logs[SCORES][0]) + len(cluster.logs[SCORES][1])
    for place in (0, 3):
        ward.observe(place, 90, 1)
    work(cluster, guarantee, on_gap="skip")
    scored = [json.loads(record.value or b"") for log in cluster.logs[SCORES] for record in log]
    assert len(scored) >= before + 2
    assert cluster.offsets == {at: len(log) for at, log in enumerate(cluster.logs[INPUT])}
