"""A micro-batch cut into segments that the model scans in one call each, and its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.columns.events import Packing, last_events


@dataclass(frozen=True, slots=True)
class Segment:
    """Waves of `sizes`, from position `start` of the packing; only the first may hold events that begin
    a stay, or admissions."""

    start: int
    sizes: list[int]

    @property
    def first(self) -> slice:
        return slice(self.start, self.start + self.sizes[0])

    @property
    def stop(self) -> int:
        return self.start + sum(self.sizes)


@dataclass(frozen=True, slots=True, repr=False)
class Inputs:
    """What the model is given of N events in packed order, on its device. at: None if no event is late."""

    values: Tensor
    elapsed: Tensor
    hours: Tensor
    at: Tensor | None

    def part(self, rows: slice) -> Inputs:
        at = None if self.at is None else self.at[rows]
        return Inputs(self.values[rows], self.elapsed[rows], self.hours[rows], at)

    def take(self, index: Tensor) -> Inputs:
        at = None if self.at is None else self.at[index]
        return Inputs(self.values[index], self.elapsed[index], self.hours[index], at)


def segments(packing: Packing, begins: NDArray[np.bool_]) -> Iterator[Segment]:
    """The waves in order, cut before one in which a stay begins."""
    begin = start = 0
    sizes: list[int] = []
    for size in packing.sizes.tolist() or [0]:
        if sizes and begins[start : start + size].any():
            yield Segment(begin, sizes)
            begin, sizes = start, []
        sizes.append(size)
        start += size
    yield Segment(begin, sizes)


def keep_latest(rows: Tensor, after: Tensor, sizes: list[int]) -> None:
    """Set the patients' rows [G, D] to the last of `after`, [N, D], that each has. sizes: of its waves."""
    for patients, positions in last_events(sizes):
        rows[patients] = after[positions]


def joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
