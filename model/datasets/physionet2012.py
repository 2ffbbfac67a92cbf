"""PhysioNet/Computing in Cardiology Challenge 2012: 48 h of ICU stays, sets a, b and c.

Silva I et al. Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in Cardiology
Challenge 2012. Comput Cardiol 2012;39:245-248.

Two forms are read to the same stays, from `<data>/physionet2012`:
    observations_a.parquet, outcomes_a.csv    rows in file order: record_id, minute, parameter, value
    set-a/132539.txt ..., Outcomes-a.txt      as published: Time,Parameter,Value
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.datasets import tables
from model.datasets.stays import Outcomes, Stays, plausible_statics
from model.datasets.tables import DESCRIPTORS, ByPatient
from model.errors import DatasetError
from model.variables import INDEX, STATICS, VARIABLES

FOLDER = "physionet2012"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the original files in file order. `names` are the distinct parameters, `codes` index them."""

    records: NDArray[np.int32]
    minutes: NDArray[np.int32]
    codes: NDArray[np.int64]
    names: list[str]
    values: NDArray[np.float32]


def read(data: Path, name: str) -> Stays:
    """The stays of set `name` ("a", "b" or "c"), values as recorded. Raises `DatasetError`."""
    stays = _read(data / FOLDER, name)
    if stays is None:
        raise DatasetError(
            f"no set {name!r} of PhysioNet 2012: neither observations_{name}.parquet nor set-{name}/ is in "
            f"{data / FOLDER}; get it from physionet.org/content/challenge-2012"
        )
    return stays


def statics_beside(outcomes: Path) -> ByPatient | None:
    """Age, sex and unit type (as `Statics.values`) from the recorded set that lies beside its outcomes
    (`outcomes_b.csv` or `Outcomes-b.txt`); None if there is none. Raises `DatasetError` if it is
    damaged."""
    named = re.fullmatch(r"outcomes[_-]([a-z])\.(csv|txt)", outcomes.name, re.IGNORECASE)
    stays = _read(outcomes.parent, named[1].lower()) if named else None
    if stays is None:
        return None
    return ByPatient([str(record) for record in stays.record_ids], plausible_statics(stays.statics))


def read_outcomes(path: Path) -> Outcomes:
    """Deaths from a file as published (RecordID, ..., In-hospital_death). Raises `DatasetError`."""
    deaths = tables.read_outcomes(path)
    try:
        records = np.array([int(patient) for patient in deaths.ids], dtype=np.int32)
    except (ValueError, OverflowError):
        raise DatasetError(
            f"{path}: column {tables.PATIENT} must hold the integers of the recorded stays"
        ) from None
    return Outcomes(records, deaths.values)


def outcomes_path(data: Path, name: str) -> Path:
    """Where set `name`'s outcomes lie: the table beside the parquet file if there is one, otherwise the
    published one."""
    table = data / FOLDER / f"outcomes_{name}.csv"
    return table if table.is_file() else data / FOLDER / f"Outcomes-{name}.txt"


def _read(folder: Path, name: str) -> Stays | None:
    parquet, texts = folder / f"observations_{name}.parquet", folder / f"set-{name}"
    if parquet.is_file():
        return _stays(_parquet_rows(parquet))
    if texts.is_dir():
        return _stays(_text_rows(texts))
    return None


def _parquet_rows(path: Path) -> _Rows:
    try:
        table = pq.read_table(path, columns=["record_id", "minute", "parameter", "value"]).combine_chunks()
        if not len(table) or any(column.null_count for column in table.columns):
            raise ValueError("no rows, or a cell without a value")
        parameter = table["parameter"].combine_chunks().dictionary_encode()
        return _Rows(
            table["record_id"].to_numpy().astype(np.int32, copy=False),
            table["minute"].to_numpy().astype(np.int32, copy=False),
            parameter.indices.to_numpy().astype(np.int64),
            [str(name) for name in parameter.dictionary.to_pylist()],
            table["value"].to_numpy().astype(np.float32, copy=False),
        )
    except (OSError, pa.ArrowException, TypeError, ValueError, OverflowError):
        raise DatasetError(
            f"{path} is not a table of observations: record_id, minute, parameter, value in each row"
        ) from None


def _text_rows(folder: Path) -> _Rows:
    records: list[int] = []
    minutes: list[int] = []
    parameters: list[str] = []
    values: list[float] = []
    for number, path in enumerate(sorted(folder.glob("*.txt")), start=1):
        try:
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    hours, past = row["Time"].split(":")
                    records.append(int(path.stem))
                    minutes.append(60 * int(hours) + int(past))
                    parameters.append(row["Parameter"])
                    values.append(float(row["Value"]))
        except (KeyError, TypeError, AttributeError, ValueError, OSError, csv.Error):
            raise DatasetError(
                f"{folder}: file {number} by name has rows other than of Time (HH:MM), Parameter, Value"
            ) from None
    names, codes = np.unique(np.array(parameters, dtype=np.str_), return_inverse=True)
    return _Rows(
        np.array(records, dtype=np.int32),
        np.array(minutes, dtype=np.int32),
        codes.astype(np.int64),
        names.tolist(),
        np.array(values, dtype=np.float32),
    )


def _stays(rows: _Rows) -> Stays:
    """Group rows to events. A parameter repeated within a minute: the last value counts."""
    if rows.minutes.size and rows.minutes.min() < 0:
        raise DatasetError("an observation is from before the admission")
    records, first, patient = np.unique(rows.records, return_index=True, return_inverse=True)
    is_descriptor = _descriptor_rows(rows, first, patient)
    statics = _statics(rows, is_descriptor, patient, len(records))
    column = np.array([INDEX.get(name, -1) for name in rows.names], dtype=np.int64)[rows.codes]
    series = (column >= 0) & ~is_descriptor
    moment = patient[series].astype(np.int64) << 32 | rows.minutes[series]
    moments, event = np.unique(moment, return_inverse=True)
    values = np.full((len(moments), len(VARIABLES)), np.nan, dtype=np.float32)
    values[event, column[series]] = rows.values[series]
    return Stays(
        record_ids=records,
        statics=statics,
        starts=np.searchsorted(moments >> 32, np.arange(len(records) + 1)),
        minutes=(moments & 0xFFFFFFFF).astype(np.int32),
        values=values,
    )


def _descriptor_rows(rows: _Rows, first: NDArray[np.intp], patient: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The rows at minute 0 before any series: RecordID and the five descriptors, each at its first place."""
    is_name = np.array([name == "RecordID" or name in DESCRIPTORS for name in rows.names])[rows.codes]
    place = np.arange(len(patient)) - first[patient]
    at_admission = (rows.minutes == 0) & (place <= len(DESCRIPTORS))
    return np.asarray(is_name & at_admission)


def _statics(
    rows: _Rows, is_descriptor: NDArray[np.bool_], patient: NDArray[np.intp], patients: int
) -> NDArray[np.float32]:
    statics = np.full((patients, len(STATICS)), np.nan, dtype=np.float32)
    for code, name in enumerate(rows.names):
        if name in DESCRIPTORS:
            chosen = is_descriptor & (rows.codes == code)
            statics[patient[chosen], STATICS.index(DESCRIPTORS[name])] = rows.values[chosen]
    return statics
