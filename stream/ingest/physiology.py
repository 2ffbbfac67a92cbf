"""What the synthetic ward's patients are like: their usual values, and what illness does to them.

The numbers are drawn so that a clinician recognises the picture: septic shock as in Singer et al., JAMA
2016;315:801 (tachycardia, fever, vasodilation with a low diastolic pressure, tachypnoea, rising lactate and
creatinine), haemorrhage as in the ATLS classes (pulse first, pressure late and with a narrow pulse pressure,
falling haematocrit), hypoxaemic then hypercapnic respiratory failure. They are made up; nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trait:
    """One variable in patients who are not deteriorating.

    mean, spread: between patients. wander: standard deviation within a patient, over minutes.
    swing: half the day-night difference, highest at 16:00. decimals: as devices and laboratories report it.
    """

    mean: float
    spread: float
    wander: float
    decimals: int
    swing: float = 0.0


@dataclass(frozen=True, slots=True)
class Panel:
    """Variables that are measured together every `every` seconds (0: at each event).

    gap: probability that one of them is not in the event after all.
    """

    names: tuple[str, ...]
    every: float
    gap: float


class Course(IntEnum):
    """What becomes of a patient."""

    STABLE = 0
    SEPSIS = 1
    HAEMORRHAGE = 2
    RESPIRATORY_FAILURE = 3


TRAITS: Mapping[str, Trait] = {
    "HR": Trait(82, 10, 3.0, 0, 4),
    "RespRate": Trait(17, 2.2, 1.3, 0, 0.8),
    "SaO2": Trait(96.8, 1.1, 0.6, 0),
    "SysABP": Trait(124, 13, 4.5, 0, 5),
    "DiasABP": Trait(63, 7, 2.8, 0, 3),
    "MAP": Trait(83.3, 0, 0, 0),
    "NISysABP": Trait(121, 13, 6.0, 0, 5),
    "NIDiasABP": Trait(62, 7, 4.0, 0, 3),
    "NIMAP": Trait(81.7, 0, 0, 0),
    "Temp": Trait(36.8, 0.35, 0.12, 1, 0.25),
    "GCS": Trait(16.0, 0.4, 0.2, 0),
    "FiO2": Trait(0.30, 0.06, 0.01, 2),
    "Urine": Trait(85, 25, 25, 0, 8),
    "pH": Trait(7.40, 0.03, 0.015, 2),
    "PaO2": Trait(98, 12, 6, 0),
    "PaCO2": Trait(40, 3, 1.5, 0),
    "Lactate": Trait(1.3, 0.3, 0.15, 1),
    "Glucose": Trait(132, 20, 12, 0),
    "BUN": Trait(19, 6, 1, 0),
    "Creatinine": Trait(1.0, 0.22, 0.05, 1),
    "K": Trait(4.1, 0.3, 0.15, 1),
    "Na": Trait(139, 2.5, 1, 0),
    "HCO3": Trait(24.5, 2, 0.8, 0),
    "HCT": Trait(33, 3.5, 0.6, 1),
    "WBC": Trait(10, 2.5, 0.6, 1),
    "Platelets": Trait(215, 55, 8, 0),
}

BURDEN: Mapping[str, float] = {
    "HR": 7, "RespRate": 2, "SaO2": -0.8, "SysABP": -6, "DiasABP": -3, "GCS": -5, "FiO2": 0.15, "Urine": -38,
    "PaO2": -12, "Lactate": 0.8, "Glucose": 15, "BUN": 26, "Creatinine": 0.9, "HCO3": -2, "HCT": -3, "WBC": 2,
    "Platelets": -50,
}  # fmt: skip
"""What a patient with a heavy burden of illness, though not deteriorating, has more or less of than usual."""

MONITOR = Panel(("HR", "RespRate", "SaO2", "SysABP", "DiasABP", "MAP"), every=0, gap=0.03)
CUFF = Panel(("NISysABP", "NIDiasABP", "NIMAP"), every=900, gap=0.02)
CHARTED: tuple[Panel, ...] = (
    Panel(("Temp", "GCS", "FiO2", "Urine"), every=3600, gap=0.05),
    Panel(("pH", "PaO2", "PaCO2", "Lactate"), every=4 * 3600, gap=0.1),
    Panel(
        ("Glucose", "BUN", "Creatinine", "K", "Na", "HCO3", "HCT", "WBC", "Platelets"),
        every=8 * 3600,
        gap=0.1,
    ),
)

_PRESSURES = {"NISysABP": "SysABP", "NIDiasABP": "DiasABP"}

_EARLY: Mapping[Course, Mapping[str, float]] = {
    Course.SEPSIS: {
        "HR": 30, "RespRate": 9, "Temp": 2.1, "DiasABP": -8, "SysABP": -8, "PaCO2": -6, "WBC": 9,
        "Lactate": 1.5, "Glucose": 45, "SaO2": -2,
    },
    Course.HAEMORRHAGE: {
        "HR": 38, "RespRate": 5, "DiasABP": 2, "SysABP": -12, "HCT": -7, "Lactate": 1.5, "Urine": -40,
        "Glucose": 30,
    },
    Course.RESPIRATORY_FAILURE: {
        "HR": 16, "RespRate": 15, "SaO2": -5, "FiO2": 0.2, "PaO2": -25, "PaCO2": -4, "SysABP": 8,
        "DiasABP": 3,
    },
}  # fmt: skip
_LATE: Mapping[Course, Mapping[str, float]] = {
    Course.SEPSIS: {
        "HR": 20, "RespRate": 6, "DiasABP": -17, "SysABP": -34, "GCS": -4, "Lactate": 4.5, "Creatinine": 1.6,
        "BUN": 22, "Urine": -65, "pH": -0.15, "HCO3": -7, "Platelets": -110, "SaO2": -4, "FiO2": 0.2,
        "PaO2": -20,
    },
    Course.HAEMORRHAGE: {
        "HR": 18, "RespRate": 7, "DiasABP": -13, "SysABP": -38, "GCS": -3, "Lactate": 4.5, "HCT": -8,
        "Urine": -35, "pH": -0.15, "HCO3": -7, "Temp": -1.1, "SaO2": -2, "Platelets": -70, "Creatinine": 0.4,
    },
    Course.RESPIRATORY_FAILURE: {
        "HR": 16, "RespRate": 6, "SaO2": -11, "FiO2": 0.4, "PaO2": -22, "PaCO2": 32, "pH": -0.2, "GCS": -5,
        "SysABP": -14, "DiasABP": -6, "Lactate": 1.2,
    },
}  # fmt: skip


def burden(names: tuple[str, ...]) -> NDArray[np.float32]:
    """`BURDEN` of the variables, float32 [len(names)]."""
    return np.array(_row(BURDEN, names), np.float32)


def effects(names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the courses add to the variables at full severity: early signs and late ones, each
    float32 [courses, len(names)], in the variables' units."""
    return _table(_EARLY, names), _table(_LATE, names)


def _table(changes: Mapping[Course, Mapping[str, float]], names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.array([_row(changes.get(course, {}), names) for course in Course], np.float32)


def _row(changes: Mapping[str, float], names: tuple[str, ...]) -> list[float]:
    return [changes.get(_PRESSURES.get(name, name), 0.0) for name in names]
