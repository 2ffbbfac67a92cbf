"""Whatever raises a patient's id, wherever: nothing that is shown names a patient or a value."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

from model.risk_model import RiskModel
from stream.assess.news2 import VitalSigns
from stream.columns.records import Outgoing
from stream.commit.committer import Committer
from stream.decode import decoder, reasons
from stream.drift.monitor import DriftMonitor
from stream.encode import dead_letters
from stream.encode.scores import ScoreEncoder
from stream.errors import describe
from stream.state.changelog import Changelog
from stream.state.placement import Placement
from stream.state.store import StateStore
from stream.stays import walk
from stream.step.stepper import Stepper
from stream.worker import stepping
from stream.worker.scoring import Scoring
from stream.worker.stepping import Stepping
from tests.support.memory import MemorySink, run_through

PATIENT, VALUE = "ZQ7-patient", 93.71875
SENTINELS = (PATIENT, "ZQ7", str(VALUE))
NOW = int(time.time() * 1000)
CALLS = [
    (decoder.Decoder, "decode"), (decoder, "_matrix"), (reasons, "_parse"), (Placement, "check"),
    (StateStore, "admit"), (StateStore, "stream_times"),
    (Stepping, "step"), (Stepper, "step"), (stepping, "walk"),
    (walk, "steady"), (walk, "carry_at_once"), (walk, "rule"), (RiskModel, "scan"), (RiskModel, "admit"),
    (StateStore, "write_rows"), (StateStore, "write_stays"), (StateStore, "take_changes"),
    (DriftMonitor, "observe"),
    (VitalSigns, "assess"), (ScoreEncoder, "encode"), (dead_letters, "encode"), (MemorySink, "send"),
    (Committer, "add"), (Changelog, "encode"), (Scoring, "score"),
]  # fmt: skip


def log() -> Iterator[tuple[bytes, bytes]]:
    event = {"patient_id": PATIENT, "observed_at": NOW - 5000}
    yield PATIENT.encode(), json.dumps(event | {"type": "admission", "static": {"age": VALUE}}).encode()
    for later in range(3):
        measured = {"observed_at": NOW - 4000 + later, "values": {"HR": VALUE, "Temp": VALUE}}
        yield PATIENT.encode(), json.dumps(event | measured).encode()
    yield PATIENT.encode(), json.dumps(event | {"values": [VALUE]}).encode()
    yield PATIENT.encode(), json.dumps(event | {"type": "discharge"}).encode()
    other = f"{PATIENT}-2"
    yield other.encode(), json.dumps(event | {"patient_id": other, "values": {"HR": VALUE}}).encode()


def project_objects(trace: TracebackType | None) -> Iterator[object]:
    """What the frames of the project hold, and what these hold, of the project's own types."""
    waiting: list[Any] = []
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("stream."):
            waiting += trace.tb_frame.f_locals.values()
        trace = trace.tb_next
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not type(one).__module__.startswith("stream."):
            continue
        seen.add(id(one))
        yield one
        names = [*getattr(one, "__dict__", {}), *getattr(type(one), "__slots__", ())]
        waiting += [getattr(one, name, None) for name in names]


@pytest.mark.parametrize(("owner", "name"), CALLS)
def test_an_error_anywhere_names_no_patient_and_no_value(
    owner: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: object, **__: object) -> None:
        raise KeyError(PATIENT, VALUE)

    monkeypatch.setattr(owner, name, fail)
    letters: list[Outgoing] = []
    with pytest.raises(KeyError) as caught:
        run_through(log(), letters.append)
    shown = [caplog.text, *capfd.readouterr(), describe(caught.value)]
    shown += [str(vars(record)["args"]) for record in caplog.records]
    held = [repr(one) for one in project_objects(caught.tb)]
    assert held
    for sentinel in SENTINELS:
        assert not [text for text in (*shown, *held) if sentinel in text]
    assert all(record.exc_info is None for record in caplog.records)
