"""Makes events and runs them through the state store and the stepper, as the pipeline does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from model.features import SKEWED, Normalisation
from model.risk_model import RiskModel, Shape
from model.variables import NAMES, STATICS, VARIABLES
from stream.batch.waves import pack
from stream.records import Events, Kind, Records, Refused, Scores
from stream.state.store import StateStore
from stream.step.stepper import Explain, Stepper

EXPIRE_AFTER_MS = 72 * 3_600_000


@dataclass(frozen=True)
class Event:
    patient: str
    minute: int
    values: dict[str, float] = field(default_factory=dict)
    kind: Kind = Kind.OBSERVATION
    statics: tuple[float, ...] = (np.nan,) * len(STATICS)
    partition: int = 0


def columns(log: Sequence[Event], first_offset: int = 0) -> Events:
    count = len(log)
    values = np.full((count, len(NAMES)), np.nan, np.float32)
    for row, event in enumerate(log):
        for name, value in event.values.items():
            values[row, NAMES.index(name)] = value
    patients = [event.patient.encode() for event in log]
    partitions = np.array([event.partition for event in log], np.int32)
    offsets = np.arange(first_offset, first_offset + count)
    observed_at = np.array([event.minute * 60_000 for event in log], np.int64)
    admissions = [event.statics for event in log if event.kind == Kind.ADMISSION]
    return Events(
        records=Records("t", [b"{}"] * count, list(patients), partitions, offsets, observed_at),
        rows=np.arange(count),
        patients=patients,
        partitions=partitions,
        offsets=offsets,
        timestamps=observed_at,
        kinds=np.array([event.kind for event in log], np.int8),
        observed_at=observed_at,
        digests=(offsets + 1).astype(np.uint64),
        values=values,
        statics=np.array(admissions, np.float32).reshape(-1, len(STATICS)),
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


class Ward:
    """State store and stepper around a model, fed batch by batch."""

    def __init__(
        self,
        model: RiskModel,
        initial: int = 2,
        maximum: int = 1000,
        explain: Explain | None = None,
        explain_from: float = 0.0,
    ) -> None:
        self.store = StateStore(model.initial_state(), initial, maximum)
        self.stepper = Stepper(
            model, self.store, model.initial_state(), pack, EXPIRE_AFTER_MS, explain, explain_from
        )
        self.fed = 0

    def feed(self, log: Sequence[Event]) -> tuple[Scores, Refused]:
        events = columns(log, self.fed)
        self.fed += len(log)
        slots = self.store.admit(events.patients, events.partitions)
        stream_times = self.store.stream_times(events.partitions, events.observed_at)
        return self.stepper.step(events, slots, stream_times)

    def risks(self, log: Sequence[Event], *cuts: int) -> dict[int, float]:
        """Risk of each scored event by its offset, the log cut into batches at `cuts`."""
        found: dict[int, float] = {}
        edges = [0, *sorted(set(cuts) & set(range(1, len(log)))), len(log)]
        for start, end in pairwise(edges):
            scores, refused = self.feed(log[start:end])
            assert not len(refused)
            found |= dict(zip(scores.events.offsets.tolist(), scores.risk.tolist(), strict=True))
        return found
