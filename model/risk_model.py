"""The risk model: features, a recurrent cell, a wide path, a head and its calibration, in two equal forms.

`forward` scores every event of whole stays; `step` scores one event a patient from a flat state row:

    [ cell state (h first) | carried 37 | measured at 37 | counts 37 | encoded statics 12 | hours 1
      | minimum 37 | maximum 37 | first 37 | mean 37 | variance 37 ]

The last five are there if the model has a wide path: one layer beside the cell, over the cell's input and
the running statistics of each variable (as the wide part of Cheng et al., Wide & Deep, 2016). The cell
follows the course; the wide path keeps how bad it has been.

Rows are float32, always finite, independent of each other, and mean nothing to another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model import running
from model.cells import make_cell
from model.features import (
    INPUT_SIZE,
    MEMORY_SIZE,
    Features,
    Memory,
    Normalisation,
    split_memory,
)
from model.reference import Reference
from model.running import RUNNING_SIZE, STATISTICS_SIZE, Running, split_running

_CHUNK = 512
"""Patients stepped at once on a CPU: their rows and gates stay in its cache."""


class Calibration(NamedTuple):
    """Slope and offset of the logits (Platt 1999) at admission and from `CALIBRATED_HOURS` on; between them
    both change linearly with the hours: what a logit is worth grows with what is known."""

    slope: float
    offset: float
    late_slope: float
    late_offset: float


CALIBRATED_HOURS = 48.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes a model's parameters and their shapes. cell: one of `model.cells.CELL_NAMES`. wide_size:
    units of the wide path, 0 for none."""

    cell: str = "gru"
    hidden_size: int = 64
    wide_size: int = 0

    @property
    def name(self) -> str:
        return f"{self.cell}-{self.hidden_size}" + (f"-wide-{self.wide_size}" if self.wide_size else "")


class RiskModel(nn.Module):
    """name, target: what it is and what it predicts. hash: SHA-256 of the stored artifact, "" before it is
    saved. reference: of the data that it was made with, None if unknown. alert_threshold: the risk from
    which an alert is worth it. warm_after: events from which on the risk carries information. state_size:
    floats of one patient's row. Thread-safe unless its parameters are changed."""

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
        self.name = shape.name
        self.target = target
        self.hash = ""
        self.reference: Reference | None = None
        self.alert_threshold = 0.5
        self.warm_after = 1
        self.features = Features(normalisation)
        self.cell = make_cell(shape.cell, INPUT_SIZE, shape.hidden_size)
        self.wide = nn.Linear(INPUT_SIZE + STATISTICS_SIZE, shape.wide_size) if shape.wide_size else None
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(shape.hidden_size + shape.wide_size, 1)
        self._sizes = (self.cell.state_size, MEMORY_SIZE, RUNNING_SIZE if self.wide else 0)
        self.state_size = sum(self._sizes)
        self.slope: Tensor
        self.offset: Tensor
        self.calibration: Calibration
        self.register_buffer("slope", torch.empty(2), persistent=False)
        self.register_buffer("offset", torch.empty(2), persistent=False)
        self.calibrate(Calibration(1.0, 0.0, 1.0, 0.0))

    def initial_state(self) -> Tensor:
        """Row of a patient of whom nothing is known: [state_size]."""
        memory = self.features.initial()
        row = torch.cat((memory.new_zeros(self.cell.state_size), memory, running.initial().to(memory)))
        return row[: self.state_size]

    def admit(self, state: Tensor, statics: Tensor) -> Tensor:
        """state [B, state_size], statics [B, 5] raw, NaN unknown -> the rows with these statics; what is
        unknown stays as it was."""
        admitted = state.clone()
        encoded = self.memory(admitted).statics
        encoded.copy_(torch.where(self.features.unknown(statics), encoded, self.features.encode(statics)))
        return admitted

    def step(self, state: Tensor, values: Tensor, elapsed: Tensor, hours: Tensor) -> tuple[Tensor, Tensor]:
        """One event a patient, as `scan` of one wave: new rows [B, state_size] and calibrated risks [B]."""
        return self.scan(state, values, elapsed, hours, [len(state)])

    def scan(
        self,
        state: Tensor,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """N events of G patients in waves: the row after each event [N, state_size], its calibrated risk [N].

        sizes: of the waves, never increasing; wave k is one event each of the first `sizes[k]` patients, so
        that `sizes[0]` is G and they sum to N. state: [G, state_size], left as it was. values: [N, 37]
        clinical units, NaN where not measured. elapsed: [N] hours since the patient's previous event, 0 at
        the first, never negative. hours: [N] from the patient's first event to the latest. at: [N], from the
        first to this one, if some events are late: their values replace none that was measured after them;
        None if none is. Never waits for the device.
        """
        states, risks = state.new_empty(len(values), self.state_size), torch.empty_like(hours)
        whole = state.is_cuda or len(sizes) > 1
        for rows in _pieces(len(states), whole=whole):
            risks[rows] = self._advance(
                state[rows],
                states[rows],
                values[rows],
                elapsed[rows],
                hours[rows],
                sizes if whole else [rows.stop - rows.start],
                None if at is None else at[rows],
            )
        return states, risks

    def _advance(
        self,
        state: Tensor,
        states: Tensor,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None,
    ) -> Tensor:
        """Write the rows after N events to `states`; the calibrated risks [N]."""
        before, cells = self.cell_state(state), self.cell_state(states)
        inputs = self.observe(state, states, values, elapsed, hours, sizes, at)
        for wave, cell in zip(inputs.split_with_sizes(sizes), cells.split_with_sizes(sizes), strict=True):
            for rows in _pieces(len(wave), whole=state.is_cuda):
                cell[rows].copy_(self.cell.step(wave[rows], before[rows]))
            before = cell
        hidden, logits = cells[:, : self.shape.hidden_size], torch.empty_like(hours)
        for rows in _pieces(len(states), whole=state.is_cuda):
            statistics = self.statistics(states[rows], inputs[rows])
            logits[rows] = self.logits(hidden[rows], inputs[rows], statistics)
        return self.risk(logits, hours)

    def observe(
        self,
        state: Tensor,
        states: Tensor,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None = None,
    ) -> Tensor:
        """`scan` but for the cell: write to `states` what is remembered after each event; the cell's inputs
        [N, INPUT_SIZE]."""
        memory = self.memory(states)
        inputs = self.features.scan(self.memory(state), memory, values, elapsed, hours, sizes, at)
        old, new = self.running(state), self.running(states)
        if old and new:
            running.scan(old, new, inputs, memory.counts, sizes)
        return inputs

    def statistics(self, states: Tensor, inputs: Tensor) -> Tensor | None:
        """What the wide path sees of the statistics in the rows after N events, given the events' inputs:
        [N, STATISTICS_SIZE]; None without a wide path."""
        known = self.running(states)
        return running.columns(known, inputs, self.memory(states).counts) if known else None

    def forward(self, values: Tensor, statics: Tensor, elapsed: Tensor) -> Tensor:
        """Uncalibrated logits [B, T] at every event of whole stays; padding at the end is harmless.

        values: [B, T, 37], statics: [B, 5], elapsed: [B, T], as in `admit` and `step`.
        """
        inputs = self.features.sequence(values, statics, elapsed)
        statistics = running.sequence(inputs) if self.wide else None
        return self.logits(self.cell(self.dropout(inputs)), inputs, statistics)

    def logits(self, hidden: Tensor, inputs: Tensor, statistics: Tensor | None) -> Tensor:
        """Uncalibrated logits [...] of hidden states [..., H] and what `observe` gives of the same events.

        The head is applied to the hidden state and to the wide layer apart, and the wide layer to inputs and
        statistics: that is the sum over the joined columns, without joining them.
        """
        of_hidden, of_widened = self.head.weight[0].split_with_sizes(
            (self.shape.hidden_size, self.shape.wide_size)
        )
        hidden = hidden.flatten(0, -2)
        logits = torch.addmv(self.head.bias.expand(len(hidden)), self.dropout(hidden), of_hidden)
        if self.wide is not None and statistics is not None:
            of_inputs, of_statistics = self.wide.weight.t().split_with_sizes((INPUT_SIZE, STATISTICS_SIZE))
            widened = torch.addmm(self.wide.bias, inputs.flatten(0, -2), of_inputs)
            widened = widened.addmm_(statistics.flatten(0, -2), of_statistics).relu_()
            logits = torch.addmv(logits, self.dropout(widened), of_widened)
        return logits.view(inputs.shape[:-1])

    def running(self, state: Tensor) -> Running | None:
        """Views of the running statistics in the rows [B, state_size]; None without a wide path."""
        return split_running(self._split(state)[2]) if self.wide else None

    def cell_state(self, state: Tensor) -> Tensor:
        """View of the cell's part of the rows: [B, cell.state_size]."""
        return self._split(state)[0]

    def risk(self, logits: Tensor, hours: Tensor) -> Tensor:
        """Calibrated probabilities of logits [...] at `hours` [...] since admission."""
        return self.log_odds(logits, hours).sigmoid_()

    def log_odds(self, logits: Tensor, hours: Tensor) -> Tensor:
        """The calibrated log-odds, as `risk`."""
        late = (hours / CALIBRATED_HOURS).clamp(max=1)
        slope = torch.addcmul(self.slope[0], late, self.slope[1])
        offset = torch.addcmul(self.offset[0], late, self.offset[1])
        return torch.addcmul(offset, logits, slope)

    def calibrate(self, calibration: Calibration) -> None:
        """Set the calibration that `risk` applies."""
        self.calibration = calibration
        slope, offset, late_slope, late_offset = calibration
        self.slope.copy_(torch.tensor([slope, late_slope - slope]))
        self.offset.copy_(torch.tensor([offset, late_offset - offset]))

    def forget(self, state: Tensor, removed: Tensor) -> Tensor:
        """The rows [B, state_size] as if variables `removed`, bool [B, 37], had never been measured, but for
        what the cell made of them."""
        forgotten, fresh = state.clone(), self.initial_state()[None]
        for part, empty in zip(self._of_variables(forgotten), self._of_variables(fresh), strict=True):
            part.copy_(torch.where(removed, empty, part))
        return forgotten

    def _of_variables(self, state: Tensor) -> tuple[Tensor, ...]:
        """Views of the parts of the rows that have one column a variable: [B, 37] each."""
        memory = self.memory(state)
        return (memory.carried, memory.measured_at, memory.counts, *(self.running(state) or ()))

    def memory(self, state: Tensor) -> Memory:
        """Views of what the rows [B, state_size] remember of the events."""
        return split_memory(self._split(state)[1])

    def _split(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views of the cell's state, the memory and the running statistics."""
        cell, memory, statistics = state.split_with_sizes(self._sizes, dim=1)
        return cell, memory, statistics


def _pieces(rows: int, *, whole: bool) -> list[slice]:
    """Rows that a CPU's cache holds together; on a GPU all at once."""
    size = max(rows, 1) if whole else _CHUNK
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
