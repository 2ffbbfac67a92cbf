"""The progress of a training run, so that an interrupted one can continue."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from model.errors import DatasetError


class Checkpoint:
    """One file, replaced as a whole. path: None keeps nothing. identity: what the run is made of."""

    def __init__(self, path: Path | None, identity: dict[str, object]) -> None:
        self._path = path
        self._identity = json.dumps(identity, sort_keys=True)

    def read(self) -> dict[str, Any] | None:
        """Returns what `write` stored, None if there is nothing yet. Never runs code that the file holds.

        Raises `DatasetError` if the file is damaged, or comes from a run with another identity.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            stored: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
            identity, state = stored["identity"], stored["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise DatasetError(f"checkpoint {self._path} is damaged: remove it to start again") from error
        if identity != self._identity:
            raise DatasetError(
                f"checkpoint {self._path} is of a run with another recipe or other data: "
                "remove it to start again, or choose another folder"
            )
        return dict(state)

    def write(self, state: dict[str, object]) -> None:
        """Store tensors and plain values; if it is cut off the file is as it was. Raises `OSError`."""
        if self._path is None:
            return
        content = io.BytesIO()
        torch.save({"identity": self._identity, "state": state}, content)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(content.getbuffer())
        partial.replace(self._path)
