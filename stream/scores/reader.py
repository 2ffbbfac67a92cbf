"""RiskScores read back, from a file or from the score topic, as columns."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.evaluate.horizons import hours_since_first
from stream.contracts.readers import UNREADABLE, Score, read_score
from stream.errors import DataError
from stream.inspect.changelog import to_ends
from stream.kafka.clients import make_source
from stream.kafka.source import EARLIEST
from stream.kafka.tail import BATCH, partitions
from stream.readable import readable
from stream.settings import Settings


@dataclass(frozen=True, slots=True, repr=False)
class ScoreColumns:
    """Scores of one model, in the order in which they were made.

    model_name, model_hash, target: as in the scores; empty if there are none.
    patients: int64 [N], whose score it is, as a number. hours: float64 [N], since the patient's first score.
    risks: float64 [N]. warm: bool [N]. ids: the patient of each number from 0 on, empty if the numbers are
    record ids.
    """

    model_name: str
    model_hash: str
    target: str
    patients: NDArray[np.int64]
    hours: NDArray[np.float64]
    risks: NDArray[np.float64]
    warm: NDArray[np.bool_]
    ids: Sequence[str] = ()

    def numbers(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """The numbers of these patients; one without a score gets a number that no other has."""
        known = {patient: number for number, patient in enumerate(self.ids)}
        return np.array([known.setdefault(patient, len(known)) for patient in ids], dtype=np.int32)


def from_topic(settings: Settings, topic: str) -> Iterator[bytes]:
    """The values of the topic, partition by partition in order, up to where its partitions end now.

    Reads outside of any group: it changes nothing. Raises `BrokerError`, also if no record comes for
    30 s although there should be more.
    """
    numbers = range(partitions(settings, topic))
    with closing(make_source(settings, to_end=True)) as source:
        source.assign(topic, dict.fromkeys(numbers, EARLIEST))
        ends = source.end_offsets(numbers)
        open_ = {number for number in numbers if ends[number]}
        for records in to_ends(source, BATCH):
            for value, number, offset in zip(
                records.values, records.partitions.tolist(), records.offsets.tolist(), strict=True
            ):
                if offset < ends[number] and value is not None:
                    yield value
                if offset >= ends[number] - 1:
                    open_.discard(number)
            open_ -= source.ended()
            if not open_:
                return


def from_file(path: Path) -> Iterator[bytes]:
    """The lines of a JSONL file. Raises `DataError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from (line for line in _without_mark(file) if line.strip())
    except OSError as error:
        raise DataError(f"cannot read scores {path}: {error.strerror}") from error


def _without_mark(file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, without the byte order mark before the first."""
    lines = iter(file)
    yield next(lines, b"").removeprefix(BOM_UTF8)
    yield from lines


def read(lines: Iterable[bytes], model_hash: str | None) -> ScoreColumns:
    """RiskScores as columns, of the model whose hash begins with `model_hash`; one that comes twice under the
    same id counts once. Raises `DataError` if a line is no RiskScore, if none is of that model, or if more
    than one model is left."""
    wanted = (score for score in _parsed(lines) if score.model.hash.startswith(model_hash or ""))
    scores = list({score.id: score for score in wanted}.values())
    if model_hash and not scores:
        raise DataError(f"no score is of a model whose hash begins with {model_hash}")
    models = {score.model.hash: score for score in scores}
    if len(models) > 1:
        hashes = readable(", ".join(sorted(models)))
        raise DataError(f"scores of {len(models)} models: choose one with --model-hash: {hashes}")
    model = next(iter(models.values()), None)
    ids = sorted({score.patient_id for score in scores}, key=lambda patient: (len(patient), patient))
    number = {patient: place for place, patient in enumerate(ids)}
    patients = np.array([number[score.patient_id] for score in scores], dtype=np.int64)
    observed_at = np.array([score.observed_at for score in scores], dtype=np.int64)
    return ScoreColumns(
        model_name=model.model.name if model else "",
        model_hash=model.model.hash if model else "",
        target=model.target if model else "",
        patients=patients,
        hours=hours_since_first(patients, observed_at),
        risks=np.array([score.risk for score in scores], dtype=np.float64),
        warm=np.array([score.state.warm for score in scores], dtype=np.bool_),
        ids=ids,
    )


def _parsed(lines: Iterable[bytes]) -> Iterator[Score]:
    for number, line in enumerate(lines, start=1):
        try:
            yield read_score(line)
        except UNREADABLE:
            raise DataError(f"score {number} is not a RiskScore") from None
