"""The changelog's format: a patient's state, or a partition's progress, as one binary record. Pure numpy.

Keys: the patient id, or `PARTITION_KEY`, which is no UTF-8 and so no patient's. A value of None is a
tombstone. Values are little-endian, packed, and checked by a multilinear hash (Carter & Wegman 1979) of
all their 64-bit words; the texts by xxh3.

    patient    magic u4 | version u2 | kind u2 = 0 | model u8 | stay, as `stream.stays.record.STAY` | row D f4
               | hash of the texts u8 | check u8 | texts: JSON, encounter, unit and bed; nothing if none is
               known
    partition  magic u4 | version u2 | kind u2 = 1 | model u8 | next offset i8 | stream time i8
               | input's id 16 bytes | changelog's id 16 bytes | check u8; version 1 has no ids
    ended      magic u4 | version u2 | kind u2 = 2 | model u8 | next offset i8 | stream time i8 | check u8

The end of a stay is written twice: as a record `ended` before the partition's progress, and as a tombstone
after it. If a worker dies between the two, without a transaction around them, the next one reads the events
of the stay once more: by the record it knows that they are applied; after a bare tombstone it would begin a
stay with them.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream.columns.records import Outgoing
from stream.errors import StateError
from stream.stays.record import RAW, STAY

MAGIC = int.from_bytes(b"VSST", "little")
PATIENT, PARTITION, ENDED = 0, 1, 2
VERSION, CHECKPOINT_VERSION, ENDED_VERSION = 3, 2, 1
VERSIONS = {PATIENT: (VERSION,), PARTITION: (1, CHECKPOINT_VERSION), ENDED: (ENDED_VERSION,)}
"""Those of each kind of record that can be read."""
PARTITION_KEY = b"\xffpartition"
HEADER = [("magic", "<u4"), ("version", "<u2"), ("kind", "<u2"), ("model", "<u8")]
ID = "V16"
KIND_AT, ENDED_BYTES = slice(6, 8), ENDED.to_bytes(2, "little")
WORD = 8


@dataclass(slots=True)
class TopicIds:
    """Which topics offsets and states belong to: a topic that is deleted and made again has another id
    (KIP-516). As Kafka's own tools write them; empty if unknown."""

    input: str = ""
    changelog: str = ""


class Checkpoint(NamedTuple):
    """A partition's progress: the input offset to read next, its stream time, ms since the epoch, and the
    topics that it was written for and to."""

    next_offset: int
    stream_time: int
    ids: TopicIds = TopicIds()


@dataclass(frozen=True, slots=True, repr=False)
class Patients:
    """The states of N patients: ids, model rows float32 [N, D], `STAY` [N], and the texts of encounter, unit
    and bed as `stream.state.names.Names.written` writes them."""

    ids: list[bytes]
    rows: NDArray[np.float32]
    stays: NDArray[np.void]
    texts: list[bytes]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: NDArray[np.int64]) -> Self:
        """Those at `places`, in that order."""
        ids = [self.ids[place] for place in places.tolist()]
        texts = [self.texts[place] for place in places.tolist()]
        return type(self)(ids, self.rows[places], self.stays[places], texts)


class Changes(NamedTuple):
    """The new states of N patients. partitions: int32 [N]."""

    patients: Patients
    partitions: NDArray[np.int32]

    def without(self, partition: int) -> Changes:
        """Those of other partitions."""
        places = np.flatnonzero(self.partitions != partition)
        return Changes(self.patients.take(places), self.partitions[places])


class End(NamedTuple):
    """The end of a stay: the input offset after its last event, and the partition's stream time then, ms."""

    next_offset: int
    stream_time: int


Ended = Mapping[tuple[int, bytes], End]
"""Stays that ended, by partition and patient id."""


class Changelog:
    """Writes and reads the records of one model. model_hash: hexadecimal SHA-256 of the artifact.
    row_size: floats of a patient's row. ids: of the topics as they are now, which checkpoints carry;
    whoever makes it may fill it in later."""

    def __init__(self, topic: str, model_hash: str, row_size: int, ids: TopicIds | None = None) -> None:
        self.topic = topic
        self.ids = ids or TopicIds()
        self._model = int(model_hash[:16] or "0", 16)
        self._row_size = row_size
        filling = [("filling", "V4")] if row_size % 2 else []
        body = [("stay", RAW), ("row", "<f4", (row_size,)), *filling, ("texts", "<u8")]
        self._patient = np.dtype([*HEADER, *body, ("check", "<u8")])
        place = [("next_offset", "<i8"), ("stream_time", "<i8")]
        self._place = np.dtype([*HEADER, *place, ("check", "<u8")])
        self._checkpoint = np.dtype([*HEADER, *place, ("input", ID), ("changelog", ID), ("check", "<u8")])

    def encode(
        self, changes: Sequence[Changes], checkpoints: Mapping[int, Checkpoint], ended: Ended | None = None
    ) -> Outgoing:
        """The records of an epoch: the states in order, the stays that ended, each partition's checkpoint,
        and the tombstones of the stays that ended."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for patients, _ in changes:
            keys += patients.ids
            values += self._states(patients)
        ended = ended or {}
        over, of_ended = [patient for _, patient in ended], [partition for partition, _ in ended]
        keys += [*over, *[PARTITION_KEY] * len(checkpoints), *over]
        values += [*self._ends(ended.values()), *self._checkpoints(checkpoints.values())]
        values += [None] * len(over)
        numbers = np.array([*of_ended, *checkpoints, *of_ended], np.int32)
        return Outgoing(self.topic, values, keys, np.concatenate([*(part for _, part in changes), numbers]))

    def patients(self, latest: Mapping[bytes, bytes]) -> Patients:
        """A partition's states from the latest value of each key, without those that ended. Raises
        `StateError` if one is damaged or of another version or model."""
        states = {key: value for key, value in latest.items() if key != PARTITION_KEY and not _is_end(value)}
        size = self._patient.itemsize
        texts = [value[size:] for value in states.values()]
        records = self._read([value[:size] for value in states.values()], self._patient, PATIENT, VERSION)
        if (records["texts"] != _hashes(texts)).any():
            raise self._damaged(PATIENT)
        stays = np.ascontiguousarray(records["stay"]).view(STAY)
        return Patients(list(states), records["row"], stays, texts)

    def ended(self, latest: Mapping[bytes, bytes]) -> dict[bytes, End]:
        """Stays of which the latest value says that they ended: their tombstones are missing. Raises
        `StateError`."""
        ends = {key: value for key, value in latest.items() if key != PARTITION_KEY and _is_end(value)}
        records = self._read(list(ends.values()), self._place, ENDED, ENDED_VERSION)
        pairs = zip(records["next_offset"].tolist(), records["stream_time"].tolist(), strict=True)
        return {patient: End(*pair) for patient, pair in zip(ends, pairs, strict=True)}

    def checkpoint(self, latest: Mapping[bytes, bytes]) -> Checkpoint | None:
        """A partition's progress, None if it has none. Raises `StateError`."""
        if (value := latest.get(PARTITION_KEY)) is None:
            return None
        if len(value) == self._place.itemsize:
            (record,) = self._read([value], self._place, PARTITION, 1)
            return Checkpoint(int(record["next_offset"]), int(record["stream_time"]))
        (record,) = self._read([value], self._checkpoint, PARTITION, CHECKPOINT_VERSION)
        ids = TopicIds(_text(record["input"]), _text(record["changelog"]))
        return Checkpoint(int(record["next_offset"]), int(record["stream_time"]), ids)

    def _states(self, patients: Patients) -> list[bytes]:
        records = self._begun(len(patients), self._patient, PATIENT, VERSION)
        records["stay"], records["row"] = patients.stays.view(RAW), patients.rows
        if not any(patients.texts):
            return _sealed(records)
        records["texts"] = _hashes(patients.texts)
        return list(map(bytes.__add__, _sealed(records), patients.texts))

    def _ends(self, ends: Collection[End]) -> list[bytes]:
        return _sealed(_placed(self._begun(len(ends), self._place, ENDED, ENDED_VERSION), ends))

    def _checkpoints(self, checkpoints: Collection[Checkpoint]) -> list[bytes]:
        records = _placed(
            self._begun(len(checkpoints), self._checkpoint, PARTITION, CHECKPOINT_VERSION), checkpoints
        )
        records["input"], records["changelog"] = _bytes(self.ids.input), _bytes(self.ids.changelog)
        return _sealed(records)

    def _begun(self, count: int, dtype: np.dtype[np.void], kind: int, version: int) -> NDArray[np.void]:
        records = np.empty(count, dtype)
        for name in {"filling", "texts"} & set(dtype.names or ()):
            records[name] = np.zeros((), dtype[name])
        records["magic"], records["version"], records["kind"] = MAGIC, version, kind
        records["model"] = self._model
        return records

    def _read(
        self, values: list[bytes], dtype: np.dtype[np.void], kind: int, version: int
    ) -> NDArray[np.void]:
        for value in values:
            if len(value) != dtype.itemsize:
                raise self._refused(value, kind)
        records = np.frombuffer(b"".join(values), dtype)
        sound = (records["magic"] == MAGIC) & (records["version"] == version) & (records["kind"] == kind)
        sound &= (records["model"] == self._model) & (_checks(records) == records["check"])
        if not sound.all():
            raise self._refused(values[int(np.argmin(sound))], kind)
        return records

    def fault(self, value: bytes) -> str:
        """Why a value that cannot be read is none of this changelog: `foreign` (not written by vitalstream),
        of another `version` or `model`, or else its `checksum`."""
        head = _head(value)
        if head is None or head["magic"] != MAGIC:
            return "foreign"
        if head["version"] not in VERSIONS.get(int(head["kind"]), ()):
            return "version"
        return "model" if head["model"] != self._model else "checksum"

    def _refused(self, value: bytes, kind: int) -> StateError:
        """Why this value is none that can be read, and what to do."""
        what, fault, head = f"{self.topic}: a record of the state", self.fault(value), _head(value)
        if head is None or fault == "foreign":
            return StateError(f"{what} was not written by vitalstream; does another program use the topic?")
        if fault == "version":
            return StateError(
                f"{what} has version {head['version']}, this release does not read it: run the release that "
                "wrote it, or replay the input under a new application_id"
            )
        if fault == "model":
            return StateError(
                f"{what} is of model {int(head['model']):016x}, this worker has {self._model:016x}: states "
                "of one model mean nothing to another; start the new model under a new application_id"
            )
        return self._damaged(kind)

    def _damaged(self, kind: int) -> StateError:
        name = "a partition" if kind == PARTITION else "a patient"
        return StateError(
            f"{self.topic}: a record of the state of {name} is damaged (checksum): replay the input under a "
            "new application_id, or bring back the topic from a copy"
        )


def _placed(records: NDArray[np.void], places: Collection[Checkpoint | End]) -> NDArray[np.void]:
    records["next_offset"] = [place.next_offset for place in places]
    records["stream_time"] = [place.stream_time for place in places]
    return records


def _bytes(topic_id: str) -> np.void:
    return np.void(base64.urlsafe_b64decode(f"{topic_id}==").ljust(16, b"\0"))


def _text(topic_id: np.void) -> str:
    given = topic_id.tobytes()
    return base64.urlsafe_b64encode(given).decode().rstrip("=") if any(given) else ""


def _hashes(texts: list[bytes]) -> NDArray[np.uint64]:
    """0 for nothing."""
    return np.array([xxhash.xxh3_64_intdigest(text) if text else 0 for text in texts], np.uint64)


def _is_end(value: bytes) -> bool:
    return value[KIND_AT] == ENDED_BYTES


def _head(value: bytes) -> np.void | None:
    """The fields of `HEADER`, None if the value is too short for them."""
    dtype = np.dtype(HEADER)
    if len(value) < dtype.itemsize:
        return None
    (head,) = np.frombuffer(value[: dtype.itemsize], dtype)
    return head  # type: ignore[no-any-return]


def _sealed(records: NDArray[np.void]) -> list[bytes]:
    records["check"] = _checks(records)
    return records.view(f"V{records.dtype.itemsize}").tolist()  # type: ignore[no-any-return]


def _checks(records: NDArray[np.void]) -> NDArray[np.uint64]:
    """uint64 [N]: the sum of each record's words, the check left out, times odd multipliers, mod 2^64.
    A change within one word always changes it."""
    words = records.dtype.itemsize // WORD - 1
    columns = records.view(np.uint64).reshape(len(records), words + 1)[:, :words]
    checks: NDArray[np.uint64] = np.einsum("ij,j->i", columns, _multipliers(words))  # no temporary array
    return checks


def _multipliers(words: int) -> NDArray[np.uint64]:
    """Odd numbers by splitmix64 (Steele, Lea & Flood 2014)."""
    z = np.arange(1, words + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)
