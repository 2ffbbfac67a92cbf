"""Columns of numbers → JSON, without formatting a number twice.

Every number that a variable can show is spelled once, in a table; an event is a row of fixed-width
fields taken from such tables, padded with NUL. The padding is then dropped from all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.variables import INDEX, VARIABLES
from stream.synthetic.physiology import TRAITS

TIME = np.dtype([("first", "S1"), ("second", "S4"), ("third", "S4"), ("last", "S4")])
"""The 13 digits of a time in ms since the epoch, until 2286."""

_DIGITS = np.array([b"%d" % number for number in range(10)])
_FOUR_DIGITS = np.array([b"%04d" % number for number in range(10_000)])


class Spelling:
    """The members of a JSON object, `"HR":80,"SaO2":97`, for a fixed tuple of variables."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        variables = [VARIABLES[INDEX[name]] for name in names]
        self._scale = np.array([10.0 ** TRAITS[name].decimals for name in names], np.float32)
        self._low = np.array(
            [np.ceil(v.low * s) for v, s in zip(variables, self._scale, strict=True)],
            np.float32,
        )
        self._high = np.array(
            [np.floor(v.high * s) for v, s in zip(variables, self._scale, strict=True)], np.float32
        )
        self._sizes = (self._high - self._low).astype(np.int32) + 1
        self._tables = [self._spell(column) for column in range(len(names))]

    @property
    def fields(self) -> list[tuple[str, np.dtype[np.bytes_]]]:
        return [(name, table.dtype) for name, table in zip(self._names, self._tables, strict=True)]

    def fill(
        self, rows: NDArray[np.void], values: NDArray[np.float32], absent: NDArray[np.bool_], first: bool
    ) -> None:
        """Write `values`, [N, K], into the fields of `rows` [N], clipped to what is plausible.

        Each member has a comma before it; if `first`, the row's first member has none.
        """
        codes = np.clip(np.rint(values * self._scale), self._low, self._high) - self._low
        codes = codes.astype(np.int32)
        if first:
            leading = np.argmin(absent, axis=1)
            codes[np.arange(len(codes)), leading] += self._sizes[leading]
        np.copyto(codes, 2 * self._sizes, where=absent)
        for column, (name, table) in enumerate(zip(self._names, self._tables, strict=True)):
            rows[name] = table.take(codes[:, column])

    def _spell(self, column: int) -> NDArray[np.bytes_]:
        name, scale = self._names[column], float(self._scale[column])
        decimals = TRAITS[name].decimals
        first = int(self._low[column])
        numbers = [f"{code / scale:.{decimals}f}" for code in range(first, first + int(self._sizes[column]))]
        members = [f'"{name}":{number}' for number in numbers]
        return np.array([f",{member}" for member in members] + members + [""], np.bytes_)


def spell_times(times: NDArray[np.int64]) -> NDArray[np.void]:
    """`times` [N], ms since the epoch, as `TIME` [N]."""
    spelled = np.empty(len(times), TIME)
    high, low = np.divmod(times, 10_000)
    high, middle = np.divmod(high, 10_000)
    first, second = np.divmod(high, 10_000)
    spelled["first"], spelled["second"] = _DIGITS[first], _FOUR_DIGITS[second]
    spelled["third"], spelled["last"] = _FOUR_DIGITS[middle], _FOUR_DIGITS[low]
    return spelled


def lines(rows: NDArray[np.void]) -> list[bytes]:
    """Rows whose last field is a newline → one byte string each, without the padding."""
    return rows.tobytes().translate(None, b"\0").split(b"\n")[:-1]
