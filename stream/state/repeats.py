"""Finds the event that a producer sent twice in a row for one patient. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.records import Kind


def repeats(
    slots: NDArray[np.int64],
    digests: NDArray[np.uint64],
    last: NDArray[np.uint64],
    kinds: NDArray[np.int8],
) -> NDArray[np.bool_]:
    """bool [N]: the row has the digest of the event before it in its slot.

    Rows stand in offset order. last: uint64 [N], digest of the slot's last event before this
    micro-batch, 0 where there was none. Discharging twice does no harm and is no repeat, and
    nothing repeats a discharge: it forgets the patient.
    """
    order = np.argsort(slots, kind="stable")
    grouped, of_group = digests[order], slots[order]
    remembered = np.where(kinds[order] == Kind.DISCHARGE, 0, grouped)
    before = np.concatenate([last[order[:1]], remembered[:-1]])
    first = np.concatenate([[True], of_group[1:] != of_group[:-1]])[: len(order)]
    before = np.where(first, last[order], before)
    repeated = np.empty(len(order), np.bool_)
    repeated[order] = grouped == before
    repeated[kinds == Kind.DISCHARGE] = False
    return repeated
