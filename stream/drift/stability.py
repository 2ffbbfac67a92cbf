"""Population stability index: how far what was found is from what was expected, over the same bins.

PSI = sum over the bins of (found - expected) * ln(found / expected), shares of all. Usual reading: below 0.1
nothing to speak of, from 0.25 on another population (Siddiqi N. Credit Risk Scorecards. Wiley, 2006). By
chance alone n independent values in B bins give (B - 1) / n on average, and 1 in 1,000 times more than the
chi-squared quantile of B - 1 degrees of freedom over n (Yurdakul B. Statistical Properties of Population
Stability Index. Western Michigan University, 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-4
"""Smallest share: it bounds how much an empty bin counts."""

LEAST = 200
"""Fewest values for an index: by chance that of ten bins is 0.045, and above 0.14 in 1 of 1,000 cases."""


def stability(expected: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The index of each column: [B, C] shares and counts, which need not be whole -> [C], never negative;
    NaN if the counts sum to less than `LEAST`. A bin that is empty in both adds nothing."""
    total = counts.sum(axis=0)
    shares = np.maximum(counts / np.maximum(total, 1.0), FLOOR)
    expected_shares = np.maximum(expected, FLOOR)
    index = ((shares - expected_shares) * np.log(shares / expected_shares)).sum(axis=0)
    return np.where(total >= LEAST, index, np.nan)
