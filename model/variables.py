"""The one table of what is measured: names, units, codes and plausible ranges.

Decoder, adapters, features, NEWS2 and docs all read it. Names are the parameter names of the
PhysioNet/Computing in Cardiology Challenge 2012; units are UCUM. Ranges are those of what can be true of an
adult whom somebody treats, arrest and survived extremes included, not of what is normal: a value outside is
an artefact or another unit. A range is narrower than what was survived if another unit would pass, too.

A model that was trained on narrower ranges is shown no more than those: see `model.shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Mdc(NamedTuple):
    """A term of the ISO/IEEE 11073-10101 nomenclature: reference id and context-free code."""

    refid: str
    code: int


class Range(NamedTuple):
    """Both bounds are inclusive."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Variable:
    """One series variable. A value is plausible when `low <= value <= high` (both inclusive, in `unit`).

    loinc: the code under which laboratories and FHIR observations report it; None if LOINC has none.
    mdc: the term that bedside monitors use; None for what no monitor measures.
    narrower: the range to which training data is cut, if it is not the plausible one.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    loinc: str | None
    mdc: Mdc | None = None
    narrower: Range | None = None

    @property
    def trained(self) -> Range:
        """What a model learns from, and is shown."""
        return self.narrower or Range(self.low, self.high)


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
    # 0 is asystole. Pre-excited atrial fibrillation reaches 350.
    Variable(
        "HR",
        "heart rate",
        "/min",
        0,
        350,
        "8867-4",
        Mdc("MDC_ECG_HEART_RATE", 147842),
        narrower=Range(10, 300),
    ),
    # After the heart has stopped a line reads the mean filling pressure, 5 to 20. 0 is a line open to air; a
    # line that is being flushed reads 300, for the mean, too.
    Variable(
        "SysABP",
        "systolic arterial pressure, invasive",
        "mm[Hg]",
        5,
        350,
        "76215-3",
        Mdc("MDC_PRESS_BLD_ART_ABP_SYS", 150037),
        narrower=Range(20, 300),
    ),
    Variable(
        "DiasABP",
        "diastolic arterial pressure, invasive",
        "mm[Hg]",
        5,
        250,
        "76213-8",
        Mdc("MDC_PRESS_BLD_ART_ABP_DIA", 150038),
        narrower=Range(10, 200),
    ),
    Variable(
        "MAP",
        "mean arterial pressure, invasive",
        "mm[Hg]",
        5,
        250,
        "76214-6",
        Mdc("MDC_PRESS_BLD_ART_ABP_MEAN", 150039),
        narrower=Range(15, 250),
    ),
    # No cuff measures less; 16 is 120 mmHg in kPa.
    Variable(
        "NISysABP",
        "systolic arterial pressure, cuff",
        "mm[Hg]",
        20,
        350,
        "76534-7",
        Mdc("MDC_PRESS_BLD_NONINV_SYS", 150021),
        narrower=Range(20, 300),
    ),
    Variable(
        "NIDiasABP",
        "diastolic arterial pressure, cuff",
        "mm[Hg]",
        10,
        250,
        "76535-4",
        Mdc("MDC_PRESS_BLD_NONINV_DIA", 150022),
        narrower=Range(10, 200),
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
    # 0 is apnoea.
    Variable(
        "RespRate",
        "respiratory rate",
        "/min",
        0,
        80,
        "9279-1",
        Mdc("MDC_RESP_RATE", 151562),
        narrower=Range(1, 80),
    ),
    # Survived: 13.7 (Gilbert, Lancet 2000;355:375) and 46.5 (Slovis, Ann Emerg Med 1982;11:269).
    Variable(
        "Temp",
        "body temperature",
        "Cel",
        13,
        47,
        "8310-5",
        Mdc("MDC_TEMP_BODY", 150364),
        narrower=Range(25, 44),
    ),
    # Above every fraction: 0.97 does not pass as a saturation.
    Variable(
        "SaO2",
        "oxygen saturation",
        "%",
        5,
        100,
        "2708-6",
        Mdc("MDC_PULS_OXIM_SAT_O2", 150456),
        narrower=Range(20, 100),
    ),
    # Room air is 0.2095, and hypoxic mixtures are given. No percentage passes.
    Variable("FiO2", "inspired oxygen fraction", "1", 0.15, 1, "3150-0", narrower=Range(0.21, 1)),
    Variable("GCS", "Glasgow coma score", "{score}", 3, 15, "9269-2"),
    # 0 is the end of a ventilation. Training data has 1 alone.
    Variable("MechVent", "mechanical ventilation", "1", 0, 1, None, narrower=Range(1, 1)),
    # Survived: below 6.5 (lactic acidosis by metformin, near-drowning).
    Variable("pH", "arterial pH", "[pH]", 6.2, 8, "2744-1", narrower=Range(6.5, 8)),
    # At sea level oxygen gives 670 at most. 13 is 100 mmHg in kPa.
    Variable(
        "PaO2", "arterial oxygen partial pressure", "mm[Hg]", 15, 700, "2703-7", narrower=Range(15, 650)
    ),
    # Status asthmaticus exceeds 150.
    Variable(
        "PaCO2",
        "arterial carbon dioxide partial pressure",
        "mm[Hg]",
        5,
        300,
        "2019-8",
        narrower=Range(5, 150),
    ),
    # Survived without transfusion: below 5. A fraction does not pass.
    Variable("HCT", "haematocrit", "%", 3, 90, "20570-8", narrower=Range(5, 70)),
    Variable("Urine", "urine output", "mL", 0, 10000, "9187-6", narrower=Range(0, 5000)),
    # Survived: 2656. 5 to 10 would be normal in mmol/L.
    Variable("Glucose", "glucose", "mg/dL", 10, 2700, "2345-7", narrower=Range(10, 1700)),
    Variable("BUN", "blood urea nitrogen", "mg/dL", 1, 400, "3094-0", narrower=Range(1, 250)),
    # Survived: 73.8 (Persaud, Case Rep Nephrol 2021), but from 45 on it is normal in umol/L.
    Variable("Creatinine", "creatinine", "mg/dL", 0.1, 40, "2160-0", narrower=Range(0.1, 25)),
    Variable("Bilirubin", "bilirubin", "mg/dL", 0.1, 90, "1975-2"),
    Variable("Cholesterol", "cholesterol", "mg/dL", 20, 1500, "2093-3", narrower=Range(20, 600)),
    # Congenital analbuminaemia. From 30 on it is normal in g/L.
    Variable("Albumin", "albumin", "g/dL", 0.1, 7, "1751-7", narrower=Range(0.5, 7)),
    Variable("K", "potassium", "mmol/L", 0.8, 15, "2823-3", narrower=Range(1, 15)),
    # Survived: below 90, and 196 (Carlberg, J Emerg Med 2013;45:228).
    Variable("Na", "sodium", "mmol/L", 80, 215, "2951-2", narrower=Range(90, 185)),
    Variable("HCO3", "bicarbonate", "mmol/L", 1, 90, "1963-8", narrower=Range(3, 60)),
    Variable("Lactate", "lactate", "mmol/L", 0.1, 50, "2524-7", narrower=Range(0.1, 35)),
    Variable("Mg", "magnesium", "mmol/L", 0.1, 15, "2601-3", narrower=Range(0.3, 10)),
    Variable("ALP", "alkaline phosphatase", "U/L", 1, 15000, "6768-6", narrower=Range(5, 5000)),
    Variable("ALT", "alanine transaminase", "U/L", 1, 30000, "1742-6", narrower=Range(1, 20000)),
    Variable("AST", "aspartate transaminase", "U/L", 1, 40000, "1920-8"),
    # Large infarctions exceed 100.
    Variable("TroponinI", "troponin I", "ug/L", 0, 1000, "10839-9", narrower=Range(0, 100)),
    Variable("TroponinT", "troponin T", "ug/L", 0, 100, "6598-7", narrower=Range(0, 50)),
    # 0 is what a counter reports in immune thrombocytopenia. A count a uL does not pass.
    Variable("Platelets", "platelets", "10*3/uL", 0, 6000, "777-3", narrower=Range(1, 2500)),
    # 0 is aplasia; leukaemia exceeds 1000.
    Variable("WBC", "white blood cells", "10*3/uL", 0, 1500, "6690-2", narrower=Range(0.1, 600)),
    # The heaviest person was of 635 kg.
    Variable(
        "Weight",
        "body weight",
        "kg",
        15,
        650,
        "29463-7",
        Mdc("MDC_MASS_BODY_ACTUAL", 188736),
        narrower=Range(20, 400),
    ),
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
