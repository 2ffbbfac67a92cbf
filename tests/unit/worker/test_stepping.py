"""What the model would not survive is refused, and leaves no trace in the state."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns.events import Code, Kind
from tests.support.events import Event, Ward, small_model
from tests.support.examples import tries
from tests.support.logs import CUTS, TWO_DAYS, logs, one_by_one

MODEL = small_model()


class Poisoned:
    """The model, but it brings NaN into the state of whoever has a temperature of exactly 44."""

    initial_state, admit = MODEL.initial_state, MODEL.admit

    def scan(
        self,
        state: torch.Tensor,
        values: torch.Tensor,
        elapsed: torch.Tensor,
        hours: torch.Tensor,
        sizes: Sequence[int],
        at: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        after, risk = MODEL.scan(state, values, elapsed, hours, sizes, at)
        return torch.where((values == 44).any(1)[:, None], torch.nan, after), risk


@given(logs(TWO_DAYS), CUTS, st.sets(st.integers(0, 39), min_size=1, max_size=6))
@settings(max_examples=tries(40), deadline=None)
def test_what_would_poison_a_slot_is_refused_and_leaves_no_trace(
    log: list[Event], cuts: list[int], bad: set[int]
) -> None:
    bad = {row for row in bad if row < len(log) and log[row].kind == Kind.OBSERVATION}
    poisoned = [
        Event(e.patient, e.minute, {"Temp": 44}, e.kind, e.statics, e.partition) if row in bad else e
        for row, e in enumerate(log)
    ]
    ward = Ward(Poisoned())
    risks = ward.risks(poisoned, *cuts)
    quarantined = {row for row, code in ward.refused.items() if code == Code.QUARANTINED}
    assert quarantined == bad - {row for row in ward.refused if row not in quarantined}
    assert risks == pytest.approx(one_by_one(MODEL, poisoned, quarantined=bad), abs=1e-5)


def test_many_events_of_one_patient_that_would_poison_it_are_refused_alone() -> None:
    """More than a batch is tried for: what is sound among them has its score, in one batch as in many."""
    log = [Event("a", row, {"Temp": 44.0 if row % 2 else 37.0, "HR": 60.0 + row}) for row in range(60)]
    log += [Event("b", 60, {"HR": 80.0})]
    alone, together = Ward(Poisoned()), Ward(Poisoned())
    expected = alone.risks(log, *range(1, len(log)))
    assert together.risks(log) == pytest.approx(expected, abs=1e-5)
    assert together.refused == alone.refused == dict.fromkeys(range(1, 60, 2), Code.QUARANTINED)
