"""The same path without Java: the embedded broker."""

from __future__ import annotations

import time
from itertools import count

from stream.kafka.embedded import EmbeddedBroker
from stream.synthetic.simulator import Ward
from tests.flow.flow import Flow, places

OVERRIDES = {"fetch.wait.max.ms": "5", "log_level": "3"}
numbers = count()


def test_each_event_has_one_score_on_the_embedded_broker(embedded: EmbeddedBroker) -> None:
    def new_topic(name: str | None = None, config: object = None) -> str:
        topic = name or f"flow-{next(numbers)}"
        embedded.create(topic)
        return topic

    flags = {"client_overrides": OVERRIDES, "processing_guarantee": "at_least_once"}
    flow = Flow(embedded.bootstrap_servers, "librdkafka", "librdkafka", new_topic, flags)
    now = int(time.time() * 1000)
    sent = Ward(20, seed=3, start_ms=now - 600_000, interval=60).tick(now - 60_000)
    flow.send(sent)
    flow.run()
    inputs = flow.written(flow.observations)
    assert len(inputs) == len(sent)
    assert places(flow.scored()) == [(one.partition, one.offset) for one in inputs]
    assert flow.written(flow.letters) == []
