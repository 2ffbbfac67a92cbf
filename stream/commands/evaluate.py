"""`vitalstream evaluate`: how well the scores rank the patients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from model.datasets.physionet2012 import read_outcomes
from model.errors import DatasetError
from model.evaluate.horizons import Evaluation, hours_since_first
from model.evaluate.horizons import evaluate as measure
from stream.clients import make_source
from stream.commands.feed import BATCH, partitions
from stream.commands.options import KAFKA, Json, takes_settings
from stream.errors import BrokerError, DataError
from stream.settings import Settings

POLL_S = 1.0
STALLED_POLLS = 30


@takes_settings(*KAFKA, "scores_topic")
def evaluate(
    settings: Settings,
    outcomes: Annotated[
        Path, typer.Option(help="CSV with the columns RecordID (the patient id) and In-hospital_death.")
    ],
    scores: Annotated[
        Path | None, typer.Option(help="File of one RiskScore a line. [default: the score topic]")
    ] = None,
    model_hash: Annotated[
        str | None, typer.Option(help="Only scores of the model whose hash begins so.")
    ] = None,
    as_json: Json = False,
) -> None:
    """AUROC and average precision of the scores known at 6, 12, 24, 36 and 48 h, and of the last ones.

    For each patient the last score at or before each time counts; time runs from the patient's first score.
    """
    lines = scores_from_file(scores) if scores else scores_from_topic(settings)
    try:
        figures = _measure(lines, outcomes, model_hash)
    except DatasetError as error:
        raise DataError(str(error)) from None
    if as_json:
        typer.echo(json.dumps(figures.to_json()))
    else:
        Console().print(_table(figures))


def scores_from_topic(settings: Settings) -> Iterator[bytes]:
    """The values of the score topic, partition by partition in order, up to where its partitions end now.

    Reads outside of any group: it changes nothing. Raises `BrokerError`, also where no record comes for
    30 s although there should be more.
    """
    numbers = range(partitions(settings, settings.scores_topic))
    with closing(make_source(settings)) as source:
        source.assign(settings.scores_topic, dict.fromkeys(numbers, -2))
        begins, ends = source.beginning_offsets(numbers), source.end_offsets(numbers)
        open_ = {number for number in numbers if ends[number] > begins[number]}
        stalled = 0
        while open_:
            records = source.poll(BATCH, POLL_S)
            stalled = 0 if len(records) else stalled + 1
            if stalled:
                open_ -= {number for number, lag in source.lag().items() if lag == 0}
            if stalled == STALLED_POLLS:
                raise BrokerError(f"topic {settings.scores_topic}: no record came for {STALLED_POLLS} s")
            for value, number, offset in zip(
                records.values, records.partitions.tolist(), records.offsets.tolist(), strict=True
            ):
                if offset < ends[number] and value is not None:
                    yield value
                if offset >= ends[number] - 1:
                    open_.discard(number)


def scores_from_file(path: Path) -> Iterator[bytes]:
    """The lines of a JSONL file. Raises `DataError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())
    except OSError as error:
        raise DataError(f"cannot read scores {path}: {error.strerror}") from None


class _Model(msgspec.Struct):
    hash: str


class _Score(msgspec.Struct):
    """What is read of a RiskScore."""

    patient_id: str
    observed_at: int
    risk: float
    model: _Model


def _measure(lines: Iterable[bytes], outcomes: Path, model_hash: str | None) -> Evaluation:
    deaths = read_outcomes(outcomes)
    scores = [score for score in _parsed(lines) if score.model.hash.startswith(model_hash or "")]
    hashes = sorted({score.model.hash for score in scores})
    if len(hashes) > 1:
        raise DataError(f"scores of {len(hashes)} models: choose one with --model-hash: {', '.join(hashes)}")
    numbers = _numbers([score.patient_id for score in scores])
    observed_at = np.array([score.observed_at for score in scores], dtype=np.int64)
    risks = np.array([score.risk for score in scores], dtype=np.float64)
    return measure(numbers, hours_since_first(numbers, observed_at), risks, deaths)


def _parsed(lines: Iterable[bytes]) -> Iterator[_Score]:
    decode = msgspec.json.Decoder(_Score).decode
    for number, line in enumerate(lines, start=1):
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DataError(f"score {number} is not a RiskScore") from None


def _numbers(patients: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Record ids; an id that is no number stands for a patient without outcome: distinct and negative."""
    ids = {
        patient: int(patient) if patient.isdecimal() and len(patient) < 10 else -place
        for place, patient in enumerate(dict.fromkeys(patients), start=1)
    }
    return np.array([ids[patient] for patient in patients], dtype=np.int64)


def _table(figures: Evaluation) -> Table:
    table = Table(
        title=f"{figures.scores:,} scores of {figures.patients:,} patients",
        caption=f"{figures.unscored:,} patients have an outcome and no score, "
        f"{figures.unknown:,} a score and no outcome",
    )
    for column in ("known at", "patients", "deaths", "AUROC", "AUPRC", "Brier"):
        table.add_column(column, justify="right")
    for at in figures.horizons:
        table.add_row(
            "last score" if at.hours is None else f"{at.hours:g} h",
            f"{at.patients:,}",
            f"{at.deaths:,}",
            "–" if at.auroc is None else f"{at.auroc:.4f}",
            "–" if at.auprc is None else f"{at.auprc:.4f}",
            f"{at.brier:.4f}",
        )
    return table
