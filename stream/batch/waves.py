"""Packs a micro-batch into waves: at most one event of a patient in each, offset order kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.columns.events import Packing


def pack(groups: NDArray[np.int64]) -> Packing:
    """Pack rows that stand in offset order. `groups` is int64 [N], one code for each patient.

    Five rows of the patients 7 8 7 9 7 become three waves. Patient 7 has the longest run and comes first:

        wave       0      1   2
        patient  7 8 9    7   7
        order    0 1 3    2   4      sizes 3 1 1      groups 7 8 9
    """
    rows = len(groups)
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if rows else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, rows])
    longest_first = np.argsort(-lengths, kind="stable")
    rank = np.arange(rows) - np.repeat(starts, lengths)
    position = np.empty(len(starts), np.int64)
    position[longest_first] = np.arange(len(starts))
    sizes = np.bincount(rank).astype(np.int64)
    order = np.empty(rows, np.int64)
    order[(np.cumsum(sizes) - sizes)[rank] + np.repeat(position, lengths)] = by_group
    return Packing(order, sizes, ordered[starts][longest_first])
