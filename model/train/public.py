"""What private training knows before it sees a patient: constants that are published, in the place of what a
model is otherwise fitted with."""

from __future__ import annotations

import numpy as np

from model.features import SKEWED, Normalisation

MORTALITY = 0.135
"""Share of intensive care patients who die in hospital: of 131,618 in 45 US hospitals, 2002-2003 (Zimmerman
JE et al. APACHE IV. Crit Care Med 2006;34:1297-1310)."""

TYPICAL: dict[str, tuple[float, float]] = {
    "HR": (60, 100),
    "SysABP": (90, 140),
    "DiasABP": (50, 90),
    "MAP": (65, 105),
    "NISysABP": (90, 140),
    "NIDiasABP": (50, 90),
    "NIMAP": (65, 105),
    "RespRate": (12, 20),
    "Temp": (36, 38),
    "SaO2": (94, 100),
    "FiO2": (0.21, 0.6),
    "GCS": (8, 15),
    "MechVent": (0, 1),
    "pH": (7.35, 7.45),
    "PaO2": (75, 150),
    "PaCO2": (35, 45),
    "HCT": (36, 51),
    "Urine": (30, 200),
    "Glucose": (70, 180),
    "BUN": (8, 20),
    "Creatinine": (0.7, 1.3),
    "Bilirubin": (0.3, 1.0),
    "Cholesterol": (100, 200),
    "Albumin": (3.5, 5.5),
    "K": (3.5, 5.0),
    "Na": (136, 145),
    "HCO3": (23, 28),
    "Lactate": (0.5, 2.2),
    "Mg": (0.7, 2.6),
    "ALP": (30, 120),
    "ALT": (10, 40),
    "AST": (10, 40),
    "TroponinI": (0, 0.4),
    "TroponinT": (0, 0.1),
    "Platelets": (150, 450),
    "WBC": (4, 11),
    "Weight": (50, 110),
    "static.age": (30, 90),
    "static.height": (150, 190),
    "static.weight": (50, 110),
}
"""Low and high end of what is usual in an adult, in the units of `model.variables`. Laboratory: reference
intervals (American Board of Internal Medicine, Laboratory Test Reference Ranges), wider where a ward aims for
more than the healthy have (glucose up to 180 mg/dL, PaO2 under oxygen); Mg spans mmol/L and mg/dL, since
records of the one are labelled as the other. Bedside: what textbooks call normal. No figure comes from the
patients of a data set."""


def normalisation() -> Normalisation:
    """Midpoint of `TYPICAL` for mean, a quarter of its width for standard deviation: a reference interval
    holds 95 % of the healthy. The sick are further out, up to where the features are clipped."""
    mean, std = {}, {}
    for name, interval in TYPICAL.items():
        low, high = np.log1p(interval) if name in SKEWED else interval
        mean[name], std[name] = float(low + high) / 2, float(high - low) / 4
    return Normalisation(mean, std)
