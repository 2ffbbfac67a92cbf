"""State that survives: a worker that ends and one that goes on are as one that never ended."""

from __future__ import annotations

import logging
import time
from contextlib import closing

import numpy as np
import pytest
from kafka import KafkaAdminClient, TopicPartition

from model.artifact import load
from stream.columns.records import Outgoing
from stream.errors import GapError, StateError
from stream.metrics import total
from stream.settings import SHIPPED_MODEL
from stream.state.changelog import Changelog
from stream.synthetic.simulator import Ward
from tests.flow.conftest import SLOW_IN_PYTHON, MakeFlow
from tests.flow.flow import Flow, places, risks_by_patient

GUARANTEES = ("exactly_once", "at_least_once")


def ward(minutes: int = 30, patients: int = 12) -> Outgoing:
    now = int(time.time() * 1000)
    return Ward(patients, seed=5, start_ms=now - minutes * 60_000, interval=60).tick(now - 1)


def part(outgoing: Outgoing, rows: slice) -> Outgoing:
    assert outgoing.timestamps is not None
    return Outgoing("", outgoing.values[rows], outgoing.keys[rows], None, outgoing.timestamps[rows])


def apart(flow: Flow, events: Outgoing) -> dict[str, np.ndarray]:
    """Risks of the same events by one worker without a break."""
    whole = Flow(flow.servers, flow.client, flow.reader, flow.new_topic, {})
    whole.send(events)
    whole.run()
    return risks_by_patient(whole.scored())


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_worker_goes_on_where_another_ended(make_flow: MakeFlow, client: str, guarantee: str) -> None:
    flow, events = make_flow(client, processing_guarantee=guarantee), ward()
    third = len(events) // 3
    for rows in (slice(0, third), slice(third, 2 * third), slice(2 * third, None)):
        flow.send(part(events, rows))
        flow.run()
    found, wanted = risks_by_patient(flow.scored()), apart(flow, events)
    assert len(set(places(flow.scored()))) == len(events)
    for patient, risks in wanted.items():
        np.testing.assert_allclose(found[patient], risks, atol=1e-5)


def test_input_that_is_gone_stops_the_worker_or_is_skipped_and_counted(
    make_flow: MakeFlow, caplog: pytest.LogCaptureFixture
) -> None:
    flow, events = make_flow(partitions=1), ward(10)
    flow.send(part(events, slice(0, 40)))
    flow.run()
    flow.send(part(events, slice(40, None)))
    with closing(KafkaAdminClient(bootstrap_servers=flow.servers)) as admin:
        admin.delete_records({TopicPartition(flow.observations, 0): 60})
    with pytest.raises(GapError, match="has offset 40, but only 60 to") as told:
        flow.run()
    assert told.value.exit_code == 7
    with caplog.at_level(logging.ERROR):
        worker = flow.run(on_gap="skip")
    assert total(worker.metrics.skipped) == 20
    assert "20 events were deleted" in caplog.text
    assert [offset for _, offset in places(flow.scored())] == [*range(40), *range(60, len(events))]


def test_states_of_another_model_are_refused_by_name(make_flow: MakeFlow) -> None:
    flow = make_flow(partitions=1)
    flow.send(ward(5))
    flow.run()
    model = load(SHIPPED_MODEL)
    stranger = Changelog(flow.changelog, "f" * 64, model.state_size)
    records = [record for record in flow.written(flow.changelog) if record.value]
    with pytest.raises(StateError, match=f"is of model {model.hash[:16]}, this worker has ffff"):
        stranger.patients({record.key or b"": record.value or b"" for record in records})
