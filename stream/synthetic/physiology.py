"""What the synthetic ward's patients are like: their usual values, and what illness does to them.

The numbers are drawn so that a clinician recognises the picture: septic shock as in Singer et al., JAMA
2016;315:801 (tachycardia, fever, vasodilation with a low diastolic pressure, tachypnoea, rising lactate and
creatinine), haemorrhage as in the ATLS classes (pulse first, pressure late and with a narrow pulse pressure,
falling haematocrit), hypoxaemic then hypercapnic respiratory failure, and at the end of each, if nobody
comes, asystole. They are made up; nothing is fitted.
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
    """Variables that are measured together every `every` seconds (0: at each event), and every `closely`
    seconds in a patient who is ill.

    gap: probability that one of them is not in the event after all.
    """

    names: tuple[str, ...]
    every: float
    closely: float
    gap: float


@dataclass(frozen=True, slots=True)
class Collapse:
    """Where a variable goes once the heart has stopped, and in how many minutes it goes two thirds of the
    way."""

    to: float
    minutes: float


class Course(IntEnum):
    """What becomes of a patient."""

    STABLE = 0
    SEPSIS = 1
    HAEMORRHAGE = 2
    RESPIRATORY_FAILURE = 3


TRAITS: Mapping[str, Trait] = {
    "HR": Trait(76, 8, 3.5, 0, 3),
    "RespRate": Trait(15.8, 1.4, 1.1, 0, 0.6),
    "SaO2": Trait(97.6, 0.5, 0.4, 0),
    "SysABP": Trait(126, 9, 4.5, 0, 4),
    "DiasABP": Trait(70, 5, 2.8, 0, 3),
    "MAP": Trait(89, 0, 0, 0),
    "NISysABP": Trait(126, 9, 5.0, 0, 4),
    "NIDiasABP": Trait(70, 5, 3.5, 0, 3),
    "NIMAP": Trait(89, 0, 0, 0),
    "Temp": Trait(36.9, 0.2, 0.1, 1, 0.2),
    "GCS": Trait(15, 0, 0, 0),
    "FiO2": Trait(0.21, 0, 0, 2),
    "Urine": Trait(85, 25, 25, 0, 8),
    "MechVent": Trait(0, 0, 0, 0),
    "pH": Trait(7.40, 0.03, 0.015, 2),
    "PaO2": Trait(93, 6, 4, 0),
    "PaCO2": Trait(40, 3, 1.5, 0),
    "Lactate": Trait(1.1, 0.25, 0.15, 1),
    "Glucose": Trait(118, 18, 10, 0),
    "BUN": Trait(16, 4, 1, 0),
    "Creatinine": Trait(0.9, 0.18, 0.05, 1),
    "K": Trait(4.1, 0.3, 0.15, 1),
    "Na": Trait(139, 2.5, 1, 0),
    "HCO3": Trait(24.5, 2, 0.8, 0),
    "HCT": Trait(36, 3.5, 0.6, 1),
    "WBC": Trait(8.5, 2, 0.6, 1),
    "Platelets": Trait(235, 50, 8, 0),
}
"""A person at rest, breathing room air, awake: what NEWS2 gives no points for."""

BURDEN: Mapping[str, float] = {
    "HR": 5, "RespRate": 0.8, "SaO2": -0.4, "SysABP": -4, "DiasABP": -2, "Urine": -30, "PaO2": -6,
    "Lactate": 0.4, "Glucose": 15, "BUN": 14, "Creatinine": 0.6, "HCO3": -1.5, "HCT": -3, "WBC": 1.5,
    "Platelets": -40,
}  # fmt: skip
"""What a patient with a heavy burden of illness, though not deteriorating, has more or less of than usual."""

MONITOR = Panel(("HR", "RespRate", "SaO2", "SysABP", "DiasABP", "MAP"), every=0, closely=0, gap=0.03)
CUFF = Panel(("NISysABP", "NIDiasABP", "NIMAP"), every=900, closely=60, gap=0.02)
CHART = Panel(("Temp", "GCS", "FiO2", "Urine"), every=3600, closely=120, gap=0.05)
VENTILATOR = Panel(("MechVent",), every=3600, closely=300, gap=0.0)
LABORATORY: tuple[Panel, ...] = (
    Panel(("pH", "PaO2", "PaCO2", "Lactate"), every=4 * 3600, closely=3600, gap=0.1),
    Panel(
        ("Glucose", "BUN", "Creatinine", "K", "Na", "HCO3", "HCT", "WBC", "Platelets"),
        every=8 * 3600,
        closely=2 * 3600,
        gap=0.1,
    ),
)

ARREST: Mapping[str, Collapse] = {
    "HR": Collapse(0, 0.01), "RespRate": Collapse(0, 0.01), "GCS": Collapse(3, 0.05),
    "SysABP": Collapse(20, 0.4), "DiasABP": Collapse(10, 0.4), "SaO2": Collapse(35, 4),
    "FiO2": Collapse(1.0, 0.05), "Urine": Collapse(0, 0.05), "Lactate": Collapse(12, 15),
    "pH": Collapse(6.9, 15), "PaO2": Collapse(40, 4), "PaCO2": Collapse(80, 12),
}  # fmt: skip
"""Asystole: no pulse and no breath at once, pressures gone within a minute, the saturation over minutes."""

RESUSCITATED: Mapping[str, float] = {"FiO2": 0.35, "GCS": -6, "RespRate": -6}
"""What is added at full severity in a patient on the ventilator: oxygen, sedation and the machine's rate."""

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


def changes(of: Mapping[str, float], names: tuple[str, ...]) -> NDArray[np.float32]:
    """`BURDEN` or `RESUSCITATED` of the variables, float32 [len(names)]."""
    return np.array(_row(of, names), np.float32)


def effects(names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the courses add to the variables at full severity: early signs and late ones, each
    float32 [courses, len(names)], in the variables' units."""
    return _table(_EARLY, names), _table(_LATE, names)


def collapses(names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`ARREST` of the variables: where they go, and the minutes, infinite for one that does not change; each
    float32 [len(names)]."""
    stays = Collapse(0.0, np.inf)
    arrests = [ARREST.get(_PRESSURES.get(name, name), stays) for name in names]
    return np.array([c.to for c in arrests], np.float32), np.array([c.minutes for c in arrests], np.float32)


def _table(of: Mapping[Course, Mapping[str, float]], names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.array([_row(of.get(course, {}), names) for course in Course], np.float32)


def _row(of: Mapping[str, float], names: tuple[str, ...]) -> list[float]:
    return [of.get(_PRESSURES.get(name, name), 0.0) for name in names]
