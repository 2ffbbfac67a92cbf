"""The one table of what is measured: names, units, codes and plausible ranges.

Decoder, adapters, features, NEWS2 and docs all read it. Names are the parameter names of the
PhysioNet/Computing in Cardiology Challenge 2012; units are UCUM. Ranges are those of what can be true of a
living adult, not of what is normal: a value outside is an artefact or another unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Mdc(NamedTuple):
    """A term of the ISO/IEEE 11073-10101 nomenclature: reference id and context-free code."""

    refid: str
    code: int


@dataclass(frozen=True, slots=True)
class Variable:
    """One series variable. A value is plausible when `low <= value <= high` (both inclusive, in `unit`).

    loinc: the code under which laboratories and FHIR observations report it; None where LOINC has none.
    mdc: the term that bedside monitors use; None for what no monitor measures.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    loinc: str | None
    mdc: Mdc | None = None


@dataclass(frozen=True, slots=True)
class StaticVariable:
    """One numeric descriptor of a patient, plausible when `low <= value <= high` (both inclusive)."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class VitalSign:
    """A sign that a ward watches; any of `variables` measures it.

    stale_after_hours: age from which the last value no longer describes the patient.
    """

    name: str
    label: str
    variables: tuple[str, ...]
    stale_after_hours: float


class Sex(Enum):
    """Values are the codes of the statics' `sex` column."""

    FEMALE = 0
    MALE = 1


class UnitType(Enum):
    """Type of intensive care unit. Values are the challenge's ICUType codes."""

    CORONARY_CARE = 1
    CARDIAC_SURGERY = 2
    MEDICAL = 3
    SURGICAL = 4


VARIABLES: tuple[Variable, ...] = (
    Variable("HR", "heart rate", "/min", 10, 300, "8867-4", Mdc("MDC_ECG_HEART_RATE", 147842)),
    Variable(
        "SysABP",
        "systolic arterial pressure, invasive",
        "mm[Hg]",
        20,
        300,
        "76215-3",
        Mdc("MDC_PRESS_BLD_ART_ABP_SYS", 150037),
    ),
    Variable(
        "DiasABP",
        "diastolic arterial pressure, invasive",
        "mm[Hg]",
        10,
        200,
        "76213-8",
        Mdc("MDC_PRESS_BLD_ART_ABP_DIA", 150038),
    ),
    Variable(
        "MAP",
        "mean arterial pressure, invasive",
        "mm[Hg]",
        15,
        250,
        "76214-6",
        Mdc("MDC_PRESS_BLD_ART_ABP_MEAN", 150039),
    ),
    Variable(
        "NISysABP",
        "systolic arterial pressure, cuff",
        "mm[Hg]",
        20,
        300,
        "76534-7",
        Mdc("MDC_PRESS_BLD_NONINV_SYS", 150021),
    ),
    Variable(
        "NIDiasABP",
        "diastolic arterial pressure, cuff",
        "mm[Hg]",
        10,
        200,
        "76535-4",
        Mdc("MDC_PRESS_BLD_NONINV_DIA", 150022),
    ),
    Variable(
        "NIMAP",
        "mean arterial pressure, cuff",
        "mm[Hg]",
        15,
        250,
        "76536-2",
        Mdc("MDC_PRESS_BLD_NONINV_MEAN", 150023),
    ),
    Variable("RespRate", "respiratory rate", "/min", 1, 80, "9279-1", Mdc("MDC_RESP_RATE", 151562)),
    Variable("Temp", "body temperature", "Cel", 25, 44, "8310-5", Mdc("MDC_TEMP_BODY", 150364)),
    Variable("SaO2", "oxygen saturation", "%", 20, 100, "2708-6", Mdc("MDC_PULS_OXIM_SAT_O2", 150456)),
    Variable("FiO2", "inspired oxygen fraction", "1", 0.21, 1, "3150-0"),
    Variable("GCS", "Glasgow coma score", "{score}", 3, 15, "9269-2"),
    Variable("MechVent", "mechanical ventilation", "1", 1, 1, None),
    Variable("pH", "arterial pH", "[pH]", 6.5, 8, "2744-1"),
    Variable("PaO2", "arterial oxygen partial pressure", "mm[Hg]", 15, 650, "2703-7"),
    Variable("PaCO2", "arterial carbon dioxide partial pressure", "mm[Hg]", 5, 150, "2019-8"),
    Variable("HCT", "haematocrit", "%", 5, 70, "20570-8"),
    Variable("Urine", "urine output", "mL", 0, 5000, "9187-6"),
    Variable("Glucose", "glucose", "mg/dL", 10, 1700, "2345-7"),
    Variable("BUN", "blood urea nitrogen", "mg/dL", 1, 250, "3094-0"),
    Variable("Creatinine", "creatinine", "mg/dL", 0.1, 25, "2160-0"),
    Variable("Bilirubin", "bilirubin", "mg/dL", 0.1, 90, "1975-2"),
    Variable("Cholesterol", "cholesterol", "mg/dL", 20, 600, "2093-3"),
    Variable("Albumin", "albumin", "g/dL", 0.5, 7, "1751-7"),
    Variable("K", "potassium", "mmol/L", 1, 15, "2823-3"),
    Variable("Na", "sodium", "mmol/L", 90, 185, "2951-2"),
    Variable("HCO3", "bicarbonate", "mmol/L", 3, 60, "1963-8"),
    Variable("Lactate", "lactate", "mmol/L", 0.1, 35, "2524-7"),
    Variable("Mg", "magnesium", "mmol/L", 0.3, 10, "2601-3"),
    Variable("ALP", "alkaline phosphatase", "U/L", 5, 5000, "6768-6"),
    Variable("ALT", "alanine transaminase", "U/L", 1, 20000, "1742-6"),
    Variable("AST", "aspartate transaminase", "U/L", 1, 40000, "1920-8"),
    Variable("TroponinI", "troponin I", "ug/L", 0, 100, "10839-9"),
    Variable("TroponinT", "troponin T", "ug/L", 0, 50, "6598-7"),
    Variable("Platelets", "platelets", "10*3/uL", 1, 2500, "777-3"),
    Variable("WBC", "white blood cells", "10*3/uL", 0.1, 600, "6690-2"),
    Variable("Weight", "body weight", "kg", 20, 400, "29463-7", Mdc("MDC_MASS_BODY_ACTUAL", 188736)),
)
"""The series, in the order of every [.., 37] tensor."""

NAMES: tuple[str, ...] = tuple(variable.name for variable in VARIABLES)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}

STATICS: tuple[str, ...] = ("age", "sex", "height", "weight", "unit_type")
"""The statics, in the order of every [.., 5] tensor; NaN where unknown."""

STATIC_RANGES: dict[str, StaticVariable] = {
    static.name: static
    for static in (
        StaticVariable("age", "a", 15, 120),
        StaticVariable("height", "cm", 100, 230),
        StaticVariable("weight", "kg", 20, 400),
    )
}
"""Plausible ranges of the numeric statics; `sex` and `unit_type` are codes of `Sex` and `UnitType`."""

VITAL_SIGNS: tuple[VitalSign, ...] = (
    VitalSign("heart_rate", "heart rate", ("HR",), 2),
    VitalSign("systolic_pressure", "systolic pressure", ("SysABP", "NISysABP"), 2),
    VitalSign("respiratory_rate", "respiratory rate", ("RespRate",), 2),
    VitalSign("oxygen_saturation", "oxygen saturation", ("SaO2",), 2),
    VitalSign("temperature", "temperature", ("Temp",), 8),
    VitalSign("consciousness", "consciousness", ("GCS",), 8),
)
"""The signs of NEWS2. Stale after twice the usual ICU charting interval: hourly, temperature and
consciousness four-hourly."""
