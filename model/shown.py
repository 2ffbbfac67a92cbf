"""What of a measurement a model is shown: no value that it cannot have learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.variables import VARIABLES

_BLOCK = 256
"""Rows that are compared at once: numpy is slow with rows as short as one of the variables."""
_LOW, _HIGH = np.array([variable.trained for variable in VARIABLES], np.float32).T
_LOWS, _HIGHS = np.tile(_LOW, _BLOCK), np.tile(_HIGH, _BLOCK)


def shown(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """values: float32 [N, V], NaN where not measured. The same without the values outside `Variable.trained`,
    which the data that models learn from is without, too; and how many those were. If there is none, it is
    `values` itself."""
    outside = _outside(values)
    if not outside.any():
        return values, 0
    return np.where(outside, np.float32(np.nan), values), int(outside.sum())


def _outside(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [N, V]; NaN is not outside."""
    outside = np.empty(values.shape, np.bool_)
    whole = len(values) // _BLOCK * _BLOCK
    blocks = (-1, _LOWS.size)
    given, implausible = values[:whole].reshape(blocks), outside[:whole].reshape(blocks)
    np.logical_or(given < _LOWS, given > _HIGHS, out=implausible)
    rest = values[whole:]
    np.logical_or(rest < _LOW, rest > _HIGH, out=outside[whole:])
    return outside
