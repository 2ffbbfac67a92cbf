"""Recorded stays through a real broker and a worker: I1, I2 and I4 as a consumer sees them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from model.artifact import load
from model.datasets.padding import step_starts
from model.datasets.stays import Stays, drop_implausible
from model.evaluate.offline import step_risks
from stream.settings import SHIPPED_MODEL
from stream.synthetic.recorded import RecordedFeed
from tests.flow.conftest import SLOW_IN_PYTHON, MakeFlow
from tests.flow.flow import CLIENTS, Flow, places, risks_by_patient

TOLERANCE = 1e-5


def replayed(stays: Stays) -> RecordedFeed:
    span = RecordedFeed(stays, 0, stagger_ms=1000).end_ms
    return RecordedFeed(stays, int(time.time() * 1000) - span, stagger_ms=1000)


def send(flow: Flow, stays: Stays) -> int:
    recorded = replayed(stays)
    flow.send(recorded.tick(recorded.end_ms, len(recorded)))
    return len(recorded)


def offline(stays: Stays) -> dict[str, np.ndarray]:
    """Each patient's risks by the whole-sequence forward pass."""
    clean = drop_implausible(stays)
    risks = step_risks(load(SHIPPED_MODEL, "cpu"), clean)
    by_patient = np.split(risks, step_starts(clean)[1:-1])
    return {str(record): one for record, one in zip(stays.record_ids.tolist(), by_patient, strict=True)}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for patient, risks in wanted.items():
        np.testing.assert_allclose(found[patient], risks, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("client", CLIENTS)
def test_each_event_has_one_score_which_equals_the_forward_pass(
    make_flow: MakeFlow, stays: Stays, client: str
) -> None:
    flow = make_flow(client)
    sent = send(flow, stays)
    flow.run()
    written, inputs = flow.written(flow.scores), flow.written(flow.observations)
    scores = flow.scored()

    assert len(inputs) == sent
    assert places(scores) == [(one.partition, one.offset) for one in inputs]
    for score, output, given in zip(scores, written, inputs, strict=True):
        assert output.partition == given.partition
        assert output.key == given.key == score["patient_id"].encode()
        assert output.timestamp == given.timestamp == score["observed_at"]
    assert flow.written(flow.letters) == []
    assert flow.committed() == {
        partition: 1 + max(one.offset for one in inputs if one.partition == partition)
        for partition in {one.partition for one in inputs}
    }
    assert_same(risks_by_patient(scores), offline(stays))


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
@pytest.mark.parametrize("partitions", [1, 8])
def test_scores_depend_neither_on_batches_nor_on_partitions(
    make_flow: MakeFlow, stays: Stays, client: str, partitions: int
) -> None:
    few = stays.select(np.arange(0, len(stays), 15))
    assert_same_in_all_batches(make_flow(client, partitions), few)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("partitions", [1, 8])
def test_the_whole_of_set_b_depends_neither_on_batches_nor_on_partitions(
    make_flow: MakeFlow, everyone: Stays, partitions: int
) -> None:
    assert_same_in_all_batches(make_flow("librdkafka", partitions), everyone)


def assert_same_in_all_batches(flow: Flow, stays: Stays) -> None:
    wanted, sent = offline(stays), send(flow, stays)
    for max_batch in (1, 7, 4096):
        flow.scores = flow.new_topic()
        group = f"{flow.observations}-{max_batch}"
        flow.new_topic(name=flow.settings(application_id=group).changelog_topic)
        flow.run(scores_topic=flow.scores, application_id=group, max_batch=max_batch)
        scores = flow.scored()
        assert len(set(places(scores))) == len(scores) == sent
        found = risks_by_patient(scores)
        assert_same(found, wanted)
        worst = max(np.abs(found[patient] - risks).max() for patient, risks in wanted.items())
        print(f"max_batch {max_batch}: {len(scores):,} scores, largest difference {worst:.1e}")
