"""I6: what operators see of a flow holds no patient's id and no value."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import pytest
from prometheus_client import generate_latest

from stream.errors import EpochError, RefusalError
from stream.metrics import total
from stream.worker.worker import Worker
from tests.flow.conftest import MakeFlow
from tests.flow.flow import CLIENTS, outgoing

NAME = 'Żółć "ZQ~7"\\ %d {}'
VALUE = 93.71875
LARGE = 71828184.0
SENTINELS = ("ZQ~7", "Żółć", "\\u017b", "93.71875", "71828184")
"""No number or id of a client's own holds one by chance, and the numbers are exact in float32."""
NOW = int(time.time() * 1000)


def event(**changes: Any) -> dict[str, Any]:
    plain = {"patient_id": NAME, "observed_at": NOW - 1000, "values": {"HR": VALUE}, "event_id": "ZQ~7-1"}
    return plain | changes


GOOD = [
    event(type="admission", static={"age": VALUE, "weight": LARGE}),
    event(event_id="ZQ~7-2", unit="ZQ~7-unit"),
    event(event_id="ZQ~7-3", values={"HR": LARGE, "ZQ~7Variable": VALUE}),
    event(event_id="ZQ~7-4", observed_at=NOW - 2000),
]
ODD = [
    event(event_id="ZQ~7-5", values={"HR": "93.71875"}),
    event(event_id="ZQ~7-6", values={"HR": float("inf"), "ZQ~7": VALUE}),
    event(event_id="ZQ~7-7", type="admission", static={"sex": "ZQ~7", "age": "71828184"}),
]
"""Accepted without the fields that cannot be read."""
BAD: list[dict[str, Any] | bytes] = [
    event(event_id="ZQ~7-4"),
    event(patient_id="ZQ~7-other"),
    event(observed_at="ZQ~7"),
    event(observed_at=NOW + 10**7),
    event(type="ZQ~7"),
    json.dumps(event()).encode()[:-3],
    json.dumps(event()).encode() + b"\xff",
]


@pytest.mark.parametrize("client", CLIENTS)
def test_logs_metrics_and_headers_tell_of_no_patient(
    make_flow: MakeFlow, client: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    debug = {"debug": "all"} if client == "librdkafka" else {}
    flow = make_flow(client, partitions=1, client_overrides=debug, log_level="DEBUG")
    flow.send(outgoing([(NAME, one) for one in (*GOOD, *ODD, *BAD)]))
    worker = flow.run()
    assert total(worker.metrics.scored) == len(GOOD) + len(ODD)
    assert total(worker.metrics.refused) == len(BAD)
    assert total(worker.metrics.dropped) == 3 + 5

    headers = str([one.headers for one in flow.written(flow.letters)])
    shown = caplog.text, *capfd.readouterr(), generate_latest(worker.metrics.registry).decode(), headers
    for sentinel in SENTINELS:
        for text in shown:
            assert sentinel not in text


@pytest.mark.parametrize("client", CLIENTS)
def test_a_score_that_cannot_be_delivered_is_an_error_without_its_patient(
    make_flow: MakeFlow, make_topic: Any, client: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tight = make_topic(1, {"max.message.bytes": "100"})
    flow = make_flow(client, partitions=1, scores_topic=tight)
    flow.send(outgoing([(NAME, event())]))
    failing = Worker(flow.settings())
    with pytest.raises((EpochError, RefusalError)) as caught:
        failing.run(threading.Event(), 30)
    assert tight in str(caught.value)
    assert flow.committed() == {}
    for sentinel in SENTINELS:
        assert sentinel not in f"{caught.value} {caught.value!r} {caplog.text}"

    flow.scores = make_topic(1)
    flow.run(scores_topic=flow.scores)
    assert [score["patient_id"] for score in flow.scored()] == [NAME], (
        "it left neither group nor event behind"
    )
