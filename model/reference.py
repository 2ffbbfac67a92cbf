"""What a model's training values and risks were like: kept with it, so that later ones can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.variables import NAMES

BINS = 10
"""Bins of a variable, about as many training values in each: deciles, as is usual for the population
stability index (Yurdakul B. Statistical Properties of Population Stability Index. Western Michigan
University, 2018)."""

LEAST_IN_BIN = 50
"""Training values to a bin: a rare variable has fewer bins, and no edge rests on a few values."""

RISK_EDGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Histogram(_Part):
    """Shares of values in bins: the first below `edges[0]`, then from each edge (inclusive) up to the next,
    the last without end. edges: increasing; exact in float32. shares: one more than edges; they sum to 1."""

    edges: tuple[float, ...]
    shares: tuple[Share, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) != len(self.edges) + 1 or abs(sum(self.shares) - 1) > 1e-4:
            raise ValueError("shares are one more than edges and sum to 1")
        if any(left >= right for left, right in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges increase")
        return self

    @classmethod
    def over(cls, edges: Sequence[float] | NDArray[np.float32], values: NDArray[np.float32]) -> Self:
        """The histogram of `values` [N], at least one, none NaN."""
        bounds = np.asarray(edges, np.float32)
        counts = np.bincount(np.searchsorted(bounds, values, side="right"), minlength=len(bounds) + 1)
        shortest = tuple(float(str(bound)) for bound in bounds)
        return cls(edges=shortest, shares=tuple((counts / len(values)).round(6).tolist()))

    @classmethod
    def by_quantiles(cls, values: NDArray[np.float32]) -> Self:
        """The histogram of `values` [N] in up to `BINS` bins of like size. Edges lie halfway between
        neighbouring values, so that other rounding is no drift; equal values share a bin, so that ties leave
        fewer bins."""
        if not len(values):
            return cls(edges=(), shares=(1.0,))
        distinct, counts = np.unique(values, return_counts=True)
        bins = min(BINS, max(1, len(values) // LEAST_IN_BIN))
        ends = np.searchsorted(np.cumsum(counts), np.arange(1, bins) * (len(values) / bins))
        ends = ends[ends < len(distinct) - 1]
        halfway = (distinct[ends].astype(np.float64) + distinct[ends + 1]) / 2
        return cls.over(np.unique(halfway.astype(np.float32)), values)


class Reference(_Part):
    """values: of each variable, over the training events that measured it. measured: share of the training
    events that did. risk: over the scores of stays that were held out."""

    values: dict[str, Histogram]
    measured: dict[str, Share]
    risk: Histogram

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.values.keys() != set(NAMES) or self.measured.keys() != set(NAMES):
            raise ValueError("a reference is of the variables of model.variables")
        return self

    @classmethod
    def fit(cls, values: NDArray[np.float32], risks: NDArray[np.float32]) -> Self:
        """values: [E, 37] of the training observations, clinical units, NaN where not measured.
        risks: [N] calibrated, of held-out scores. Neither may be empty."""
        known = np.isfinite(values)
        shares = known.mean(axis=0).round(6).tolist()
        return cls(
            values={name: Histogram.by_quantiles(values[known[:, i], i]) for i, name in enumerate(NAMES)},
            measured=dict(zip(NAMES, shares, strict=True)),
            risk=Histogram.over(RISK_EDGES, risks),
        )
