"""A hospital's own tables: what became of the patients and who they are, as CSV.

The separator is a comma, a semicolon or a tab; a byte order mark, as spreadsheets write it, is passed over.
Errors name columns and rows, never what stands there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import plausible_statics
from model.errors import DatasetError
from model.variables import STATICS

PATIENT, DIED = "RecordID", "In-hospital_death"
DESCRIPTORS = {"Age": "age", "Gender": "sex", "Height": "height", "Weight": "weight", "ICUType": "unit_type"}
KNOWN = ("Age", "Gender", "ICUType")
SEPARATORS = ",;\t"
DEATHS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}

Cell = TypeVar("Cell")
Read = Callable[[str], Cell]


@dataclass(frozen=True, slots=True, repr=False)
class ByPatient:
    """What `values` [P, ...] holds of P patients, whose `ids` are as they are written in the file."""

    ids: list[str]
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, repr=False)
class _Table:
    """Cells by column, without the blanks around them. rows: the number of each in the file."""

    path: Path
    rows: list[int]
    columns: dict[str, list[str]]

    def read(self, name: str, read: Read[Cell], wanted: str) -> list[Cell]:
        """A column. Raises `DatasetError` if `read` raises `ValueError`; wanted: what must stand there."""
        cells: list[Cell] = []
        for row, cell in zip(self.rows, self.columns[name], strict=True):
            try:
                cells.append(read(cell))
            except ValueError:
                raise DatasetError(f"{self.path}: column {name} must hold {wanted}: row {row}") from None
        return cells


def read_outcomes(path: Path) -> ByPatient:
    """Deaths (bool [P]) from the columns RecordID and In-hospital_death. Raises `DatasetError`."""
    table = _table(path, "outcomes", (PATIENT, DIED))
    ids = table.read(PATIENT, _id, "a patient's id")
    died = table.read(DIED, _death, "0 or 1")
    known: dict[str, bool] = {}
    for row, patient, death in zip(table.rows, ids, died, strict=True):
        if known.setdefault(patient, death) != death:
            raise DatasetError(f"{path}: a patient has two outcomes: the second is in row {row}")
    return ByPatient(list(known), np.array(list(known.values()), dtype=np.bool_))


def read_statics(path: Path) -> ByPatient:
    """Age, sex and unit type (float32 [P, 5], as `Statics.values`) from the columns RecordID, Age, Gender and
    ICUType, in the codes of the PhysioNet Challenge 2012; an empty cell is unknown. Raises `DatasetError`."""
    table = _table(path, "patients", (PATIENT, *KNOWN))
    ids = table.read(PATIENT, _id, "a patient's id")
    values = np.full((len(ids), len(STATICS)), np.nan, dtype=np.float32)
    for name in KNOWN:
        values[:, STATICS.index(DESCRIPTORS[name])] = table.read(name, _number, "numbers")
    known: dict[str, bytes] = {}
    for row, patient, described in zip(table.rows, ids, values, strict=True):
        if known.setdefault(patient, described.tobytes()) != described.tobytes():
            raise DatasetError(f"{path}: a patient is described in two ways: the second is in row {row}")
    return ByPatient(ids, plausible_statics(values))


def _table(path: Path, what: str, wanted: Sequence[str]) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            separator = max(SEPARATORS, key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
            reader = csv.reader(file, delimiter=separator)
            rows = [(reader.line_num + 1, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise DatasetError(f"cannot read {what} {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path} is not a CSV file in UTF-8") from None
    if missing := [name for name in wanted if name not in names]:
        raise DatasetError(f"{path} has no column {', '.join(missing)}")
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise DatasetError(f"{path} has more than one column {', '.join(twice)}")
    if not rows:
        raise DatasetError(f"{path} has no row: there must be a patient")
    places = {name: names.index(name) for name in wanted}
    columns = {
        name: [row[place].strip() if place < len(row) else "" for _, row in rows]
        for name, place in places.items()
    }
    return _Table(path, [number for number, _ in rows], columns)


def _id(cell: str) -> str:
    if not cell:
        raise ValueError
    return cell


def _death(cell: str) -> bool:
    if cell.lower() not in DEATHS:
        raise ValueError
    return DEATHS[cell.lower()]


def _number(cell: str) -> float:
    return float(cell or "nan")
