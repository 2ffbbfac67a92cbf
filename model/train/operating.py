"""When a score may be acted on: alert threshold and warm-up, from patients that were not learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model.datasets.padding import step_starts
from model.evaluate.metrics import best_threshold
from model.train.examples import Examples

INFORMATIVE = 0.7
"""AUROC from which discrimination is called acceptable (Hosmer, Lemeshow and Sturdivant, Applied Logistic
Regression, 3rd ed. 2013, section 5.2.4)."""

LEAST = 1e-6
"""The least alert threshold: at 0 every patient alerts."""

MOST_EVENTS = 30
"""Events until which a model must carry information."""

FEWEST = 10
"""The least number of deaths, and of survivors, for an AUROC: with fewer, the interval is far too narrow."""


def alert_threshold(held_out: Examples, risks: NDArray[np.float32]) -> float:
    """The risk at which sensitivity and positive predictive value of the last scores are most alike high: it
    makes their minimum (the challenge's Event 1) as large as can be. risks: [P + E], of each step."""
    last = risks[step_starts(held_out.stays)[1:] - 1]
    chosen = best_threshold(last.astype(np.float64), held_out.died)
    assert chosen is not None, "calibration has needed a death before"
    return max(chosen, LEAST)


def warm_after(held_out: Examples, risks: NDArray[np.float32]) -> int:
    """The number of events, admission included, from which on the scores carry information: the lower 95 %
    bound of their AUROC over the patients who have that many is `INFORMATIVE` at least, there and at every
    later number up to `MOST_EVENTS`, which is returned if no number satisfies this."""
    starts = step_starts(held_out.stays)
    lengths = np.diff(starts)
    for events in range(MOST_EVENTS, 0, -1):
        known = lengths >= events
        if _lower_bound(held_out.died[known], risks[starts[:-1][known] + events - 1]) < INFORMATIVE:
            return min(events + 1, MOST_EVENTS)
    return 1


def _lower_bound(died: NDArray[np.bool_], risks: NDArray[np.float32]) -> float:
    """The lower bound of the 95 % interval of AUROC (Hanley and McNeil 1982); 0 if there are fewer than
    `FEWEST`."""
    deaths, others = int(died.sum()), int((~died).sum())
    if min(deaths, others) < FEWEST:
        return 0.0
    area = float(roc_auc_score(died, risks))
    larger, both = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (deaths - 1) * (larger - area**2) + (others - 1) * (both - area**2)
    return area - 1.96 * float(np.sqrt(variance / (deaths * others)))
