"""A changelog's states in one safetensors file, to move them to another cluster. It holds patient data.

Tensors of N patients: `ids` uint8, one after the other; `id_ends` int64 [N], where each ends; `texts` and
`text_ends` likewise, as `stream.state.changelog.Patients` has them; `rows` [N, D] float32; `stays` uint8 [N,
B], the bytes of `stream.stays.record.STAY`; `partitions` int32 [N]; `marks` int64 [P, 3]: partition, next
offset, stream time. Metadata: `format`, `version` of the state, `model` (its hash), `sha256` of the tensors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stream.errors import DataError, StateError
from stream.kafka.topics import partition_of
from stream.state.changelog import VERSION, Checkpoint, Patients
from stream.stays.record import STAY

FORMAT = "vitalstream-states"
TENSORS = {
    "ids": (np.uint8, 1), "id_ends": (np.int64, 1), "texts": (np.uint8, 1), "text_ends": (np.int64, 1),
    "rows": (np.float32, 2), "stays": (np.uint8, 2), "partitions": (np.int32, 1), "marks": (np.int64, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class States:
    """All patients of one application. partitions: int32 [N]. checkpoints: of each partition that has one."""

    model_hash: str
    patients: Patients
    partitions: NDArray[np.int32]
    checkpoints: dict[int, Checkpoint]

    def of(self, partition: int) -> Patients:
        return self.patients.take(np.flatnonzero(self.partitions == partition))

    def placed(self, begins: Mapping[int, int]) -> States:
        """The same patients for an input that begins again: begins holds each partition's first offset.
        Patients go where their key sends them; nothing of the new input was applied to them. A partition's
        stream time is the latest of those that its patients come from."""
        count = len(begins)
        partitions = np.array([partition_of(patient_id, count) for patient_id in self.patients.ids], np.int32)
        stays = self.patients.stays.copy()
        stays["next_offset"] = 0
        patients = replace(self.patients, stays=stays)
        stream_times = dict.fromkeys(begins, 0)
        for here, there in {*zip(self.partitions.tolist(), partitions.tolist(), strict=True)}:
            if (checkpoint := self.checkpoints.get(here)) is not None:
                stream_times[there] = max(stream_times[there], checkpoint.stream_time)
        checkpoints = {
            partition: Checkpoint(begin, stream_times[partition]) for partition, begin in begins.items()
        }
        return States(self.model_hash, patients, partitions, checkpoints)


def gathered(model_hash: str, patients: Mapping[int, Patients], checkpoints: dict[int, Checkpoint]) -> States:
    """The patients of each partition, at least one, as one."""
    parts = list(patients.values())
    together = Patients(
        [patient_id for part in parts for patient_id in part.ids],
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.stays for part in parts]),
        [text for part in parts for text in part.texts],
    )
    partitions = np.repeat(np.array(list(patients), np.int32), [len(part) for part in parts])
    return States(model_hash, together, partitions, checkpoints)


def write(path: Path, states: States) -> None:
    """Make the file, for its owner alone to read. Raises `DataError`, also if there is one already."""
    tensors = _tensors(states)
    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "model": states.model_hash,
        "sha256": _digest(tensors),
    }
    content = save(tensors, about)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def read(path: Path, model_hash: str, row_size: int) -> States:
    """The states of `path`, checked. Raises `DataError` if it is not such a file or is damaged, `StateError`
    if it is of another version or model."""
    try:
        with path.open("rb"):
            pass
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise DataError(f"{path} is no safetensors file, or damaged") from error
    if about.get("format") != FORMAT:
        raise DataError(f"{path} was not written by `vitalstream state export`")
    if about.get("version") != str(VERSION):
        raise StateError(f"{path} has version {about.get('version')}, this release reads {VERSION}")
    if about.get("model") != model_hash:
        raise StateError(
            f"{path} is of model {about.get('model', '')[:16]}, not of {model_hash[:16]}: states of one "
            "model mean nothing to another; choose its model with --model"
        )
    if not _fits(tensors, row_size) or _digest(tensors) != about.get("sha256"):
        raise DataError(f"{path} is damaged: its checksum does not fit its content")
    return _states(model_hash, tensors)


def _tensors(states: States) -> dict[str, NDArray[Any]]:
    patients = states.patients
    checkpoints = [
        (partition, checkpoint.next_offset, checkpoint.stream_time)
        for partition, checkpoint in states.checkpoints.items()
    ]
    return {
        **_joined("ids", "id_ends", patients.ids),
        **_joined("texts", "text_ends", patients.texts),
        "rows": np.ascontiguousarray(patients.rows),
        "stays": np.ascontiguousarray(patients.stays).view(np.uint8).reshape(len(patients), STAY.itemsize),
        "partitions": states.partitions,
        "marks": np.array(checkpoints, np.int64).reshape(len(checkpoints), 3),
    }


def _states(model_hash: str, tensors: Mapping[str, NDArray[Any]]) -> States:
    ids = _split(tensors["ids"], tensors["id_ends"])
    stays = np.ascontiguousarray(tensors["stays"]).view(STAY).reshape(len(ids))
    checkpoints = {
        partition: Checkpoint(offset, stream_time)
        for partition, offset, stream_time in tensors["marks"].tolist()
    }
    patients = Patients(ids, tensors["rows"], stays, _split(tensors["texts"], tensors["text_ends"]))
    return States(model_hash, patients, tensors["partitions"], checkpoints)


def _joined(name: str, ends: str, parts: list[bytes]) -> dict[str, NDArray[Any]]:
    return {
        name: np.frombuffer(b"".join(parts), np.uint8),
        ends: np.cumsum([len(part) for part in parts], dtype=np.int64),
    }


def _split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    blob = joined.tobytes()
    return [blob[begin:end] for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False)]


def _fits(tensors: Mapping[str, NDArray[Any]], row_size: int) -> bool:
    kinds = {name: (tensor.dtype.type, tensor.ndim) for name, tensor in tensors.items()}
    if kinds != TENSORS:
        return False
    count = len(tensors["id_ends"])
    wanted = {
        "rows": (count, row_size),
        "stays": (count, STAY.itemsize),
        "text_ends": (count,),
        "partitions": (count,),
    }
    return all(tensors[name].shape == shape for name, shape in wanted.items())


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(tensor.data.cast("B") if tensor.size else b"")
    return digest.hexdigest()
