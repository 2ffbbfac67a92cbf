"""A model as two files: `model.safetensors` (weights) and `model.json` (everything else). Nothing is pickled.

The hash of the artifact is the SHA-256 of `model.json`'s content without the hash itself (canonical JSON:
sorted keys, no spaces), which holds the SHA-256 of the weights' file: it changes when anything changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from model.cells import CELL_NAMES
from model.errors import ArtifactError
from model.features import Normalisation
from model.reference import Reference
from model.risk_model import Calibration, RiskModel, Shape
from model.variables import STATICS, VARIABLES

DESCRIPTION = "model.json"
WEIGHTS = "model.safetensors"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Card(_Strict):
    """Where a model comes from. data: what it was trained on. recipe: the settings that reproduce it.
    metrics: figures by name of what they were measured on."""

    data: str
    recipe: dict[str, JsonValue] = {}
    metrics: dict[str, JsonValue] = {}


class _Column(_Strict):
    name: str
    unit: str


class _Normalisation(_Strict):
    mean: dict[str, float]
    std: dict[str, float]


class _Calibration(_Strict):
    slope: float
    offset: float
    late_slope: float
    late_offset: float


class Description(_Strict):
    """The content of `model.json`. reference: None if the model must not reveal its data."""

    format: Literal[2] = 2
    name: str
    target: str
    cell: str
    hidden_size: int
    wide_size: int
    variables: tuple[_Column, ...]
    statics: tuple[str, ...]
    normalisation: _Normalisation
    calibration: _Calibration
    alert_threshold: float = Field(gt=0, le=1)
    warm_after: int = Field(ge=1)
    reference: Reference | None = None
    training: Card
    weights_sha256: str
    hash: str = ""

    def content_hash(self) -> str:
        content = self.model_dump(mode="json", exclude={"hash"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def save(model: RiskModel, folder: Path, card: Card) -> None:
    """Write the two files to `folder` (made if missing) and set `model.hash`. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = serialise(tensors)
    (folder / WEIGHTS).write_bytes(weights)
    description = Description(
        name=model.name,
        target=model.target,
        cell=model.shape.cell,
        hidden_size=model.shape.hidden_size,
        wide_size=model.shape.wide_size,
        variables=_columns(),
        statics=STATICS,
        normalisation=_Normalisation(mean=model.normalisation.mean, std=model.normalisation.std),
        calibration=_Calibration(**model.calibration._asdict()),
        alert_threshold=model.alert_threshold,
        warm_after=model.warm_after,
        reference=model.reference,
        training=card,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    model.hash = description.content_hash()
    description = description.model_copy(update={"hash": model.hash})
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n")


def load(folder: Path, device: torch.device | str = "cpu") -> RiskModel:
    """The model in `folder` on `device`, in evaluation mode, its parameters frozen.

    Raises `ArtifactError` if a file is missing or damaged, the hash differs, or it was made for other
    variables, units or shapes than this code's.
    """
    description, weights = read_description(folder), _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != description.weights_sha256:
        raise ArtifactError(f"{folder / WEIGHTS} is not the file that {DESCRIPTION} describes")
    model = _build(description, folder)
    _fill(model, weights, folder)
    model.hash = description.hash
    return model.to(device).eval().requires_grad_(False)


def read_description(folder: Path) -> Description:
    """`model.json` of `folder`, its hash and variables checked. Raises `ArtifactError`."""
    path = folder / DESCRIPTION
    try:
        description = Description.model_validate_json(_read(path))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ArtifactError(f"{path}: {where}: {error.errors()[0]['msg']}") from error
    if description.content_hash() != description.hash:
        raise ArtifactError(f"{path} was changed after it was saved: its hash does not fit its content")
    if description.variables != _columns() or description.statics != STATICS:
        raise ArtifactError(f"{path} is of a model with other variables or units than model.variables")
    return description


def _columns() -> tuple[_Column, ...]:
    return tuple(_Column(name=variable.name, unit=variable.unit) for variable in VARIABLES)


def _build(description: Description, folder: Path) -> RiskModel:
    shape = Shape(description.cell, description.hidden_size, description.wide_size)
    sound = 1 <= shape.hidden_size <= 4096 and 0 <= shape.wide_size <= 4096
    if shape.cell not in CELL_NAMES or not sound:
        raise ArtifactError(f"{folder / DESCRIPTION}: unknown cell, or a size out of range")
    normalisation = Normalisation(description.normalisation.mean, description.normalisation.std)
    try:
        model = RiskModel(shape, normalisation, target=description.target)
    except KeyError as error:
        raise ArtifactError(f"{folder / DESCRIPTION}: no normalisation of {error}") from error
    model.name = description.name
    model.reference = description.reference
    model.alert_threshold, model.warm_after = description.alert_threshold, description.warm_after
    model.calibrate(Calibration(**description.calibration.model_dump()))
    return model


def _fill(model: RiskModel, weights: bytes, folder: Path) -> None:
    try:
        tensors = parse(weights)
    except SafetensorError as error:
        raise ArtifactError(f"{folder / WEIGHTS} is damaged: {error}") from error
    actual = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    if actual != wanted:
        odd = sorted(name for name in actual | wanted if actual.get(name) != wanted.get(name))
        raise ArtifactError(f"{folder / WEIGHTS} does not fit the cell and hidden size: {', '.join(odd)}")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ArtifactError(f"{folder / WEIGHTS} holds weights that are not finite")
    model.load_state_dict(tensors)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
