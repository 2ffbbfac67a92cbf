"""Makes events and runs them through the state store and the stepper, as the pipeline does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from model.features import SKEWED, Normalisation
from model.risk_model import RiskModel, Shape
from model.variables import NAMES, STATICS, VARIABLES
from stream.columns.events import Code, Events, Kind, hashed
from stream.columns.records import Records
from stream.columns.scores import Scores
from stream.state.store import StateStore
from stream.stays.record import Periods
from stream.step.stepper import Explain, Stepper
from stream.worker.stepping import Stepping

EXPIRE_AFTER_MS, GRACE_MS = 72 * 3_600_000, 12 * 3_600_000
MAX_PAST_MS = 7 * 24 * 3_600_000
PERIODS = Periods(EXPIRE_AFTER_MS, GRACE_MS)
BEGIN_MS = 1_700_000_000_000
"""Minute 0 of every log."""


@dataclass(frozen=True)
class Event:
    patient: str
    minute: int
    values: dict[str, float] = field(default_factory=dict)
    kind: Kind = Kind.OBSERVATION
    statics: tuple[float, ...] = (np.nan,) * len(STATICS)
    partition: int = 0
    id: str = ""
    encounter: str = ""
    unit: str = ""
    bed: str = ""
    written: int | None = None
    """Minute of the record's timestamp; that of the event if it is not given."""

    @property
    def at(self) -> int:
        """ms since the Unix epoch."""
        return BEGIN_MS + self.minute * 60_000

    @property
    def place(self) -> tuple[str, str, str]:
        return self.encounter, self.unit, self.bed


def columns(log: Sequence[Event], first_offset: int = 0) -> Events:
    count = len(log)
    values = np.full((count, len(NAMES)), np.nan, np.float32)
    for row, event in enumerate(log):
        for name, value in event.values.items():
            values[row, NAMES.index(name)] = value
    patients = [event.patient.encode() for event in log]
    partitions = np.array([event.partition for event in log], np.int32)
    offsets = np.arange(first_offset, first_offset + count)
    observed_at = np.array([event.at for event in log], np.int64)
    admissions = [event.statics for event in log if event.kind == Kind.ADMISSION]
    return Events(
        records=Records("t", [b"{}"] * count, list(patients), partitions, offsets, observed_at),
        rows=np.arange(count),
        patients=patients,
        partitions=partitions,
        offsets=offsets,
        timestamps=np.array(
            [event.at if event.written is None else BEGIN_MS + event.written * 60_000 for event in log],
            np.int64,
        ),
        kinds=np.array([event.kind for event in log], np.int8),
        observed_at=observed_at,
        digests=np.array(
            [hashed(event.id or f"offset {offset}") for offset, event in enumerate(log, first_offset)],
            np.uint64,
        ),
        values=values,
        statics=np.array(admissions, np.float32).reshape(-1, len(STATICS)),
        places=np.array([list(map(hashed, event.place)) for event in log], np.uint64).reshape(-1, 3),
        names={hashed(text): text for event in log for text in event.place if text},
    )


def small_model(seed: int = 0, wide: int = 0) -> RiskModel:
    """A GRU of 8 with random weights, loud enough that every input moves the risk."""
    torch.manual_seed(seed)
    mean = {v.name: 2.0 if v.name in SKEWED else (v.low + v.high) / 4 for v in VARIABLES}
    mean |= {f"static.{name}": 100.0 for name in ("age", "height", "weight")}
    normalisation = Normalisation(mean, {name: value / 2 for name, value in mean.items()})
    model = RiskModel(Shape("gru", 8, wide), normalisation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval().requires_grad_(False)


class Still:
    """A `Cell` that remembers nothing: for what does not depend on a model."""

    def initial_state(self) -> torch.Tensor:
        return torch.zeros(1)

    def admit(self, state: torch.Tensor, statics: torch.Tensor) -> torch.Tensor:
        return state

    def scan(
        self,
        state: torch.Tensor,
        values: torch.Tensor,
        elapsed: torch.Tensor,
        hours: torch.Tensor,
        sizes: Sequence[int],
        at: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(values), 1), torch.zeros(len(values))


class Ward:
    """State store and stepper around a model, fed batch by batch."""

    def __init__(
        self,
        model: Any,
        initial: int = 2,
        maximum: int = 1000,
        explain: Explain | None = None,
        explain_from: float = 0.0,
    ) -> None:
        self.store = StateStore(model.initial_state(), initial, maximum)
        stepper = Stepper(model, model.initial_state(), explain, explain_from)
        self.stepping = Stepping(self.store, stepper, PERIODS, MAX_PAST_MS)
        self.fed = 0
        self.refused: dict[int, Code] = {}

    def feed(self, log: Sequence[Event]) -> list[Scores]:
        """`refused` remembers the reason by the offset."""
        events = columns(log, self.fed)
        self.fed += len(log)
        new = self.stepping.admit(events)
        parts = self.stepping.step(new)
        for refused in (new.refused, *(one for part in parts for one in part.refused)):
            offsets = refused.records.offsets[list(refused.rows)].tolist()
            self.refused |= dict(zip(offsets, refused.codes, strict=True))
        return [part.scores for part in parts]

    def stay(self, patient: str, partition: int = 0) -> np.void:
        """As it is now."""
        slots = self.store.admit([patient.encode()], np.array([partition], np.int32))
        return self.store.stays(slots)[0]  # type: ignore[no-any-return]

    def risks(self, log: Sequence[Event], *cuts: int) -> dict[int, float]:
        """Risk of each scored event by its offset, the log cut into batches at `cuts`."""
        found: dict[int, float] = {}
        edges = [0, *sorted(set(cuts) & set(range(1, len(log)))), len(log)]
        for start, end in pairwise(edges):
            for scores in self.feed(log[start:end]):
                found |= dict(zip(scores.events.offsets.tolist(), scores.risk.tolist(), strict=True))
        return found
