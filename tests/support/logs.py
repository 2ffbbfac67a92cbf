"""Random logs of a few patients, and what each of their events means by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set

import numpy as np
import torch
from hypothesis import strategies as st

from model.risk_model import RiskModel
from model.shown import shown
from stream.columns.events import Kind
from tests.support.events import Event, columns
from tests.support.stays import Truth

MEASURED = st.dictionaries(st.sampled_from(["HR", "Temp", "Lactate", "GCS"]), st.floats(4, 200), max_size=3)
STATICS = st.tuples(
    *[st.sampled_from(row) for row in [(20, 90), (0, 1), (150, 190), (50, 120), (1, 2, 3, 4)]]
)
TWO_DAYS = st.integers(0, 3000)


def logs(minutes: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    event = st.builds(
        Event,
        patient=st.sampled_from(["a", "b", "c", "d"]),
        minute=minutes,
        values=MEASURED,
        kind=st.sampled_from([Kind.OBSERVATION] * 6 + [Kind.ADMISSION, Kind.DISCHARGE]),
        statics=STATICS,
        partition=st.integers(0, 1),
    )
    return st.lists(event, max_size=40)


LOG = logs(TWO_DAYS | st.sampled_from([6000, 9000, 14_000]))
CUTS = st.lists(st.integers(1, 39), max_size=10)


def one_by_one(model: RiskModel, log: list[Event], quarantined: Set[int] = frozenset()) -> dict[int, float]:
    """The plain meaning of the events: each patient alone, one call of the cell an event. Of those that are
    quarantined nothing counts but the time, which is the partition's."""
    truths: dict[int, Truth] = defaultdict(Truth)
    rows: dict[tuple[int, str], torch.Tensor] = {}
    risks = {}
    events = columns(log)
    for offset, event in enumerate(log):
        who, truth = (event.partition, event.patient), truths[event.partition]
        if offset in quarantined:
            truth.stream_time = max(truth.stream_time, event.at)
            continue
        said = truth.take(event, event.id or f"offset {offset}")
        if not said.count:
            continue
        row = model.initial_state()[None] if said.again else rows[who]
        if event.kind == Kind.ADMISSION:
            statics = event.statics if said.described else [np.nan] * len(event.statics)
            row = model.admit(row, torch.tensor([statics], dtype=torch.float32))
        started = truth.patients[event.patient].started
        clocks = said.elapsed, said.hours, (event.at - started) / 3_600_000
        elapsed, hours, at = (torch.tensor([clock], dtype=torch.float32) for clock in clocks)
        values = torch.from_numpy(shown(events.values[offset : offset + 1])[0])
        rows[who], risk = model.scan(row, values, elapsed, hours, [1], at)
        risks[offset] = risk.item()
    return risks
