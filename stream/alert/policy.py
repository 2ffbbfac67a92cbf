"""When a risk becomes an alert: with hysteresis and a refractory time, so that a crisis is one alert. Pure.

    quiet ── warm, risk ≥ threshold, and not within the refractory time of the last raise ──▶ raised
    raised ── risk < clear_ratio · threshold ──▶ quiet

A patient whose risk stays high through the refractory time is raised when it ends, not lost. A risk that is
NaN neither raises nor clears. State goes in, state comes out: two small columns a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Hours = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Policy:
    """threshold: risk from which a patient alerts. clear_ratio: the alert ends below this share of the
    threshold. refractory_hours: least time between two raises of one patient.

    Raises `ValueError` if a threshold or ratio is not in (0, 1] or the refractory time is negative.
    """

    threshold: float
    clear_ratio: float = 0.8
    refractory_hours: float = 8.0

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 < self.clear_ratio <= 1 and self.refractory_hours >= 0):
            raise ValueError("threshold and clear_ratio must be in (0, 1], refractory_hours not negative")

    def __str__(self) -> str:
        return (
            f"raised at a risk of {self.threshold:.3g} or more once the score is warm, cleared below "
            f"{self.clear_ratio * self.threshold:.3g}, at most one a patient in {self.refractory_hours:g} h"
        )


class AlertState(NamedTuple):
    """What the policy remembers of S patients. raised: bool [S], an alert is on.
    raised_at: float64 [S], hours of the last raise, on the clock of the events; -inf before the first."""

    raised: Bools
    raised_at: Hours

    @classmethod
    def quiet(cls, patients: int) -> AlertState:
        """The state before the first score."""
        return cls(np.zeros(patients, np.bool_), np.full(patients, -np.inf))


class Decisions(NamedTuple):
    """bool [N] each, one row a score: it raises an alert; it ends one."""

    raised: Bools
    cleared: Bools


def step(
    policy: Policy, state: AlertState, hours: Hours, risks: NDArray[np.floating], warm: Bools
) -> tuple[AlertState, Decisions]:
    """One score of each of N patients. state: their N rows. hours: float64 [N]. risks: [N]. warm: bool [N].

    An event that is older than the last raise (a late one) does not raise.
    """
    rested = hours - state.raised_at >= policy.refractory_hours
    raised = ~state.raised & warm & (risks >= policy.threshold) & rested
    cleared = state.raised & (risks < policy.clear_ratio * policy.threshold)
    after = AlertState((state.raised | raised) & ~cleared, np.where(raised, hours, state.raised_at))
    return after, Decisions(raised, cleared)


def decide(
    policy: Policy,
    patients: NDArray[np.int64],
    hours: Hours,
    risks: NDArray[np.floating],
    warm: Bools,
) -> Decisions:
    """Every score of a log, in the order in which they were made; patients may alternate. Columns: [N].

    Wave k holds score k of each patient, so that a whole log costs as many steps as its longest stay.
    """
    _, codes = np.unique(patients, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    state = AlertState.quiet(len(counts))
    decisions = Decisions(np.zeros(len(codes), np.bool_), np.zeros(len(codes), np.bool_))
    for wave in range(int(counts.max(initial=0))):
        slots = np.flatnonzero(counts > wave)
        rows = order[starts[slots] + wave]
        before = AlertState(state.raised[slots], state.raised_at[slots])
        after, decided = step(policy, before, hours[rows], risks[rows], warm[rows])
        state.raised[slots], state.raised_at[slots] = after
        decisions.raised[rows], decisions.cleared[rows] = decided
    return decisions
