"""The risk model: features, a recurrent cell, a head and its calibration, in two equal forms.

`forward` scores every event of whole stays; `step` scores one event a patient from a flat state row:

    [ cell state (h first) | carried 37 | measured at 37 | counts 37 | encoded statics 12 | hours 1 ]

Rows are float32, always finite, independent of each other, and mean nothing to another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.cells import make_cell
from model.features import (
    INPUT_SIZE,
    MEMORY_SIZE,
    MEMORY_SIZES,
    Features,
    Memory,
    Normalisation,
    split_memory,
)
from model.reference import Reference
from model.variables import INDEX

VITAL_COLUMNS = ("HR", "SysABP", "NISysABP", "RespRate", "Temp", "SaO2", "FiO2", "MechVent", "GCS")
"""Variables that NEWS2 and the watch on vital signs need."""


_CHUNK = 512
"""Patients stepped at once on a CPU: their rows and gates stay in its cache."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes a model's parameters and their shapes. cell: one of `model.cells.CELL_NAMES`."""

    cell: str = "gru"
    hidden_size: int = 64


class RiskModel(nn.Module):
    """name, target: what it is and what it predicts. hash: SHA-256 of the stored artifact, "" before it is
    saved. reference: of the data that it was made with, None where unknown. state_size: floats of one
    patient's row. Not thread-safe only where its parameters are changed."""

    def __init__(
        self,
        shape: Shape,
        normalisation: Normalisation,
        *,
        target: str = "in_hospital_death",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.normalisation = normalisation
        self.name = f"{shape.cell}-{shape.hidden_size}"
        self.target = target
        self.hash = ""
        self.reference: Reference | None = None
        self.features = Features(normalisation)
        self.cell = make_cell(shape.cell, INPUT_SIZE, shape.hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(shape.hidden_size, 1)
        self.state_size = self.cell.state_size + MEMORY_SIZE
        self.vital_columns = VITAL_COLUMNS
        self.slope: Tensor
        self.offset: Tensor
        self.register_buffer("slope", torch.tensor(1.0), persistent=False)
        self.register_buffer("offset", torch.tensor(0.0), persistent=False)
        self._vital_places: Tensor
        self.register_buffer("_vital_places", self._places(), persistent=False)

    def initial_state(self) -> Tensor:
        """Row of a patient of whom nothing is known: [state_size]."""
        memory = self.features.initial()
        return torch.cat((memory.new_zeros(self.cell.state_size), memory))

    def admit(self, state: Tensor, statics: Tensor) -> Tensor:
        """state [B, state_size], statics [B, 5] raw, NaN unknown -> the rows with these statics."""
        admitted = state.clone()
        self._split(admitted)[1].statics.copy_(self.features.encode(statics))
        return admitted

    def step(self, state: Tensor, values: Tensor, elapsed: Tensor, hours: Tensor) -> tuple[Tensor, Tensor]:
        """One event a patient, as `scan` of one wave: new rows [B, state_size] and calibrated risks [B]."""
        return self.scan(state, values, elapsed, hours, [len(state)])

    def scan(
        self, state: Tensor, values: Tensor, elapsed: Tensor, hours: Tensor, sizes: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """N events of G patients in waves: the row after each event [N, state_size], its calibrated risk [N].

        sizes: of the waves, never increasing; wave k is one event each of the first `sizes[k]` patients, so
        that `sizes[0]` is G and they sum to N. state: [G, state_size], left as it was. values: [N, 37]
        clinical units, NaN where not measured. elapsed: [N] hours since the patient's previous event, 0 at
        the first, never negative. hours: [N] since the patient's first event. Never waits for the device.
        """
        states = state.new_empty(len(values), self.state_size)
        (before, old), (cells, new) = self._split(state), self._split(states)
        inputs = self.features.scan(old, new, values, elapsed, hours, sizes)
        for wave, cell in zip(inputs.split_with_sizes(sizes), cells.split_with_sizes(sizes), strict=True):
            for rows in _pieces(len(wave), whole=state.is_cuda):
                cell[rows].copy_(self.cell.step(wave[rows], before[rows]))
            before = cell
        return states, self.risk(self._logits(cells[:, : self.shape.hidden_size]))

    def forward(self, values: Tensor, statics: Tensor, elapsed: Tensor) -> Tensor:
        """Uncalibrated logits [B, T] at every event of whole stays; padding at the end is harmless.

        values: [B, T, 37], statics: [B, 5], elapsed: [B, T], as in `admit` and `step`.
        """
        inputs = self.dropout(self.features.sequence(values, statics, elapsed))
        return self._logits(self.dropout(self.cell(inputs)))

    def risk(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities (Platt 1999): sigmoid(slope * logit + offset)."""
        return torch.addcmul(self.offset, logits, self.slope).sigmoid_()

    def calibrate(self, slope: float, offset: float) -> None:
        """Set the calibration that `risk` applies."""
        self.slope.fill_(slope)
        self.offset.fill_(offset)

    def vitals(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Last values [B, K] of `vital_columns` in clinical units (NaN where never measured; exactly the
        float32 that was given) and hours since measured, since the first event where never [B, K]."""
        values, measured_at, counts = state.index_select(1, self._vital_places).chunk(3, dim=1)
        return values.masked_fill(counts == 0, torch.nan), self._split(state)[1].hours - measured_at

    def _places(self) -> Tensor:
        """Places in the row of the carried values, their times and counts of `vital_columns`."""
        memory = split_memory(torch.arange(self.cell.state_size, self.state_size)[None])
        columns = [INDEX[name] for name in VITAL_COLUMNS]
        return torch.cat([part[0, columns] for part in (memory.carried, memory.measured_at, memory.counts)])

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.head(hidden)
        return logits.squeeze(-1)

    def _split(self, state: Tensor) -> tuple[Tensor, Memory]:
        cell, *memory = state.split_with_sizes((self.cell.state_size, *MEMORY_SIZES), dim=1)
        return cell, Memory(*memory)


def _pieces(rows: int, *, whole: bool) -> list[slice]:
    """Rows that a CPU's cache holds together; on a GPU all at once."""
    size = max(rows, 1) if whole else _CHUNK
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
