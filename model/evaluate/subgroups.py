"""The same figures by age, sex and type of unit: they show for which patients the risk is less good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.datasets.stays import Statics
from model.evaluate.bootstrap import RESAMPLES, Floats
from model.evaluate.metrics import Metrics, measure
from model.variables import STATICS, Sex, UnitType

AGE_BANDS = ((0, 45, "under 45"), (45, 65, "45–64"), (65, 80, "65–79"), (80, np.inf, "80 and over"))
NOT_RECORDED = "not recorded"
SMALLEST = 10
"""Patients. A smaller group is left out: its figures say nothing, and it may point at a person."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """of: "age", "sex" or "unit". name: which of them."""

    of: str
    name: str
    metrics: Metrics


def subgroups(
    record_ids: NDArray[np.int64],
    risks: Floats,
    died: NDArray[np.bool_],
    statics: Statics,
    resamples: int = RESAMPLES,
) -> tuple[Subgroup, ...]:
    """record_ids: int64 [P]; risks, died: [P], of these patients. Who has no statics is `NOT_RECORDED`."""
    return tuple(
        Subgroup(of, name, measure(risks[members], died[members], resamples=resamples))
        for of, name, members in _members(statics.of(record_ids))
        if members.sum() >= SMALLEST
    )


def _members(values: NDArray[np.float32]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Each group and which patients are in it, bool [P]. values: as `Statics.values`."""
    age = values[:, STATICS.index("age")]
    for low, high, name in AGE_BANDS:
        yield "age", name, (age >= low) & (age < high)
    yield "age", NOT_RECORDED, np.isnan(age)
    for of, column, codes in (("sex", "sex", Sex), ("unit", "unit_type", UnitType)):
        coded = values[:, STATICS.index(column)]
        for code in codes:
            yield of, code.name.lower().replace("_", " "), coded == code.value
        yield of, NOT_RECORDED, np.isnan(coded)
