"""The texts of encounters, units and beds, of which a stay keeps the hashes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.columns.events import hashed

SPARE = 1024
"""Texts that nobody needs any more, beside as many as are needed, before they are looked for."""


class Names:
    """Hash → text. What no stay has any more is forgotten now and then."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._needed = 0

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, key: int) -> str:
        """Empty for 0."""
        return self._texts[key] if key else ""

    def learn(self, texts: Mapping[int, str]) -> None:
        self._texts |= texts

    def read(self, written: bytes) -> None:
        """Learn the texts that `written` wrote."""
        self.learn({hashed(text): text for text in read(written) if text})

    @property
    def many(self) -> bool:
        """Whether it is time to `keep` what is needed."""
        return len(self._texts) > 2 * self._needed + SPARE

    def keep(self, places: NDArray[np.uint64]) -> None:
        """Forget the texts of hashes that are not among `places`, uint64 [N]."""
        self._texts = {key: self._texts[key] for key in np.unique(places).tolist() if key}
        self._needed = len(self._texts)

    def written(self, places: NDArray[np.uint64]) -> list[bytes]:
        """Write the texts of each row of `places`, uint64 [N, 3], for the changelog; empty if it has none."""
        if not places.any():
            return [b""] * len(places)
        encoded: dict[tuple[int, ...], bytes] = {(0, 0, 0): b""}
        rows = list(map(tuple, places.tolist()))
        for row in set(rows) - encoded.keys():
            encoded[row] = msgspec.json.encode([self[key] for key in row])
        return [encoded[row] for row in rows]


def read(written: bytes) -> list[str]:
    """The encounter, unit and bed that `Names.written` wrote; empty if they are not known. Raises
    `ValueError`."""
    try:
        return msgspec.json.decode(written, type=list[str]) if written else ["", "", ""]
    except msgspec.MsgspecError as error:
        raise ValueError("these are not the texts of a stay") from error
