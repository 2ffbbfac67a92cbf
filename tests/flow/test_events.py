"""What can be wrong with events or come of them, through the whole path."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from model.artifact import load
from model.variables import NAMES, STATICS
from stream.columns.events import Code
from stream.columns.records import Outgoing
from stream.settings import SHIPPED_MODEL
from stream.state.placement import partitions_of
from tests.flow.conftest import MakeFlow
from tests.flow.flow import CLIENTS, letter_places, outgoing, places

MINUTE_MS = 60_000
START = int(time.time() * 1000) - 48 * 60 * MINUTE_MS
TOLERANCE = 1e-5


def observation(patient: str, minute: int, **values: float) -> dict[str, Any]:
    return {"patient_id": patient, "observed_at": START + minute * MINUTE_MS, "values": values}


def admission(patient: str, minute: int, **static: Any) -> dict[str, Any]:
    at = START + minute * MINUTE_MS
    return {"type": "admission", "patient_id": patient, "observed_at": at, "static": static}


def discharge(patient: str, minute: int) -> dict[str, Any]:
    return {"type": "discharge", "patient_id": patient, "observed_at": START + minute * MINUTE_MS}


def forward(stay: list[dict[str, Any]]) -> list[float]:
    """Risks of one stay, which begins with its admission, by the whole-sequence forward pass."""
    model = load(SHIPPED_MODEL, torch.device("cpu"))
    values = np.full((1, len(stay), len(NAMES)), np.nan, np.float32)
    for row, event in enumerate(stay):
        for name, value in event.get("values", {}).items():
            values[0, row, NAMES.index(name)] = value
    known = {"male": 1, "female": 0, "medical": 3} | {None: np.nan}
    static = [stay[0]["static"].get(name) for name in STATICS]
    coded = torch.tensor([[known.get(one, one) for one in static]], dtype=torch.float32)
    latest = np.maximum.accumulate([event["observed_at"] for event in stay])
    at = np.array([event["observed_at"] for event in stay])
    elapsed = np.maximum(at - np.concatenate([at[:1], latest[:-1]]), 0) / (60 * MINUTE_MS)
    with torch.inference_mode():
        logits = model(torch.from_numpy(values), coded, torch.tensor(elapsed[None], dtype=torch.float32))
        hours = torch.tensor((latest - latest[0])[None] / (60 * MINUTE_MS), dtype=torch.float32)
        return model.risk(logits, hours)[0].tolist()


BAD: list[tuple[str, bytes | dict[str, Any], Code]] = [
    ("bad-1", b"\xff\xfe\x00", Code.NOT_UTF8),
    ("bad-2", b'{"patient_id":', Code.NOT_JSON),
    ("bad-3", b"", Code.EMPTY),
    ("bad-4", {"observed_at": START, "values": {}}, Code.MISSING_FIELD),
    ("bad-5", observation("bad-5", 0) | {"values": "HR 80"}, Code.WRONG_FIELD),
    ("bad-6", observation("bad-6", 0) | {"type": "telepathy"}, Code.UNKNOWN_TYPE),
    ("bad-7", observation("bad-7", 0) | {"type": "discharge", "cancel": "no"}, Code.WRONG_FIELD),
    ("bad-8", observation("another", 0, HR=80), Code.KEY_MISMATCH),
    ("bad-9", observation("bad-9", 49 * 60, HR=80), Code.FUTURE),
    ("bad-10", b"[" * 5000, Code.TOO_DEEP),
    ("bad-11", observation("bad-11", 0) | {"note": "x" * 9000}, Code.TOO_LARGE),
    ("bad-12", b'{"patient_id":"\\ud800","observed_at":1,"values":{}}', Code.WRONG_FIELD),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_each_refused_event_is_a_dead_letter_once_and_nothing_else_is_lost(
    make_flow: MakeFlow, client: str
) -> None:
    flow = make_flow(client, max_event_bytes=8000)
    events: list[tuple[str, dict[str, Any] | bytes]] = []
    for minute in range(100):
        events += [(f"good-{patient}", observation(f"good-{patient}", minute, HR=80)) for patient in range(3)]
        events += [(key, event) for key, event, _ in BAD[minute % len(BAD) :][:1]]
    expected = Counter(code for minute in range(100) for _, _, code in BAD[minute % len(BAD) :][:1])
    before = int(time.time() * 1000)
    own = [("traceparent", b"00-7"), ("nothing", None), ("vitalstream.error.code", b"forged")]
    flow.send(replace(outgoing(events), headers=[own] * len(events)))
    flow.run()

    inputs = {(one.partition, one.offset): one for one in flow.written(flow.observations)}
    letters, scores = flow.written(flow.letters), flow.scored()
    assert Counter(letter_places(letters) + places(scores)) == Counter(inputs.keys())
    assert Counter(one.headers["vitalstream.error.code"].decode() for one in letters) == expected
    for letter, place in zip(letters, letter_places(letters), strict=True):
        record = inputs[place]
        assert (letter.key, letter.value, letter.timestamp) == (record.key, record.value, record.timestamp)
        assert letter.partition == place[0]
        assert letter.headers["traceparent"] == b"00-7"
        assert letter.headers.keys() == record.headers.keys() | {
            f"vitalstream.error.{name}" for name in ("code", "stage", "topic", "partition", "offset", "at")
        }
        assert letter.headers["vitalstream.error.topic"].decode() == flow.observations
        assert before <= int(letter.headers["vitalstream.error.at"]) <= time.time() * 1000
    assert {score["patient_id"] for score in scores} == {"good-0", "good-1", "good-2"}


def test_tombstones_and_records_without_a_key_are_refused(make_flow: MakeFlow) -> None:
    flow = make_flow(partitions=1)
    good = json.dumps(observation("p", 0, HR=80)).encode()
    flow.send(Outgoing("", [None, good, good], [b"p", None, b"p"]))
    flow.run()
    letters = flow.written(flow.letters)
    assert [(one.key, one.value) for one in letters] == [(b"p", None), (None, good)]
    assert [score["source"]["offset"] for score in flow.scored()] == [2]


@pytest.mark.parametrize("misplaced", ["accept", "refuse"])
def test_a_patient_who_is_split_by_two_gateways_is_counted_and_refused_if_asked(
    make_flow: MakeFlow, misplaced: str
) -> None:
    flow = make_flow(misplaced_records=misplaced)
    who = [f"p-{number}" for number in range(20)]
    home = partitions_of([patient.encode() for patient in who], 4)
    for minute, shift in enumerate((0, 1)):  # the second gateway partitions differently
        events = outgoing([(patient, observation(patient, minute, HR=80)) for patient in who])
        flow.send(replace(events, partitions=(home + shift) % 4))
    worker = flow.run()

    at_home = dict(zip(who, home.tolist(), strict=True))
    scored = Counter(one["source"]["partition"] == at_home[one["patient_id"]] for one in flow.scored())
    letters = flow.written(flow.letters)
    counted = worker.metrics.registry.get_sample_value("vitalstream_events_misplaced_total")
    assert counted == len(who)
    if misplaced == "accept":
        assert (scored, letters) == ({True: len(who), False: len(who)}, [])
    else:
        assert scored == {True: len(who)}
        assert {one.headers["vitalstream.error.code"] for one in letters} == {b"wrong_partition"}
        assert Counter(letter_places(letters)).keys() == {
            (one.partition, one.offset)
            for one in flow.written(flow.observations)
            if one.partition != at_home[(one.key or b"").decode()]
        }


@pytest.mark.parametrize("max_batch", [1, 4096])
def test_a_patient_who_comes_back_is_a_new_one(make_flow: MakeFlow, max_batch: int) -> None:
    static = {"age": 70, "sex": "male", "height": 175, "weight": 80, "unit_type": "medical"}
    first = [
        admission("p", 0, **static),
        observation("p", 5, HR=150, Lactate=9),
        observation("p", 60, HR=140),
    ]
    second = [admission("p", 300, age=40), observation("p", 310, HR=70), observation("p", 400, Temp=37)]
    third = [admission("p", 500), observation("p", 510, GCS=15)]
    others = [admission("other", 0, sex="female"), observation("other", 500, HR=60)]
    log = [others[0], *first, discharge("p", 200), discharge("p", 201), *second, *third, others[1]]
    flow = make_flow(partitions=1, max_batch=max_batch)
    flow.send(outgoing([(event["patient_id"], event) for event in log]))
    flow.run()
    scores = flow.scored()

    stays = (first, second, third, others)
    wanted = {id(event): risk for stay in stays for event, risk in zip(stay, forward(stay), strict=True)}
    kept = [event for event in log if event.get("type") != "discharge"]
    assert [score["source"]["offset"] for score in scores] == [log.index(event) for event in kept]
    risks = [score["risk"] for score in scores]
    np.testing.assert_allclose(risks, [wanted[id(event)] for event in kept], rtol=0, atol=TOLERANCE)
    counts = [score["state"]["events"] for score in scores]
    assert counts == [1, 1, 2, 3, 1, 2, 3, 1, 2, 2]
    assert flow.written(flow.letters) == []


def test_duplicates_are_refused_and_late_events_are_scored_as_late(make_flow: MakeFlow) -> None:
    stay = [
        admission("p", 0, age=60),
        observation("p", 60, HR=80, SysABP=120),
        observation("p", 30, HR=150) | {"event_id": "e1"},
        observation("p", 90, HR=82),
        observation("p", 60, HR=80, SysABP=121),
    ]
    retried = observation("p", 30, HR=150.0) | {"event_id": "e1", "unit": "ICU 3"}
    other = observation("q", 90, HR=82) | {"event_id": "e1"}
    log = [*stay[:3], other, retried, stay[3], stay[3], stay[3], stay[4]]
    flow = make_flow(partitions=1)
    flow.send(outgoing([(event["patient_id"], event) for event in log]))
    flow.run()

    letters = flow.written(flow.letters)
    assert [int(one.headers["vitalstream.error.offset"]) for one in letters] == [4, 6, 7]
    assert {one.headers["vitalstream.error.code"] for one in letters} == {b"duplicate"}
    scores = [score for score in flow.scored() if score["patient_id"] == "p"]
    assert [score["source"]["offset"] for score in scores] == [0, 1, 2, 5, 8]
    assert [score["state"]["late"] for score in scores] == [False, False, True, False, True]
    assert [score["news2"]["score"] for score in scores][1:3] == [scores[1]["news2"]["score"]] * 2
