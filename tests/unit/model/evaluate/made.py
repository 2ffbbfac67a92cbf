"""Made-up scores whose truth is known: whoever has risk r dies with probability r."""

import numpy as np

from model.datasets.stays import Outcomes, Statics
from model.variables import STATICS


def calibrated(patients=2000, seed=0):
    """Risks, float64 [P], and deaths drawn by them, bool [P]."""
    rng = np.random.default_rng(seed)
    risks = 1 / (1 + np.exp(-rng.normal(-1.5, 1.2, patients)))
    return risks, rng.random(patients) < risks


def ward(patients=120, scores=20, seed=0):
    """Record ids of nine digits, hours, risks of `scores` events each over 40 h, and what became of them."""
    risks, died = calibrated(patients, seed)
    rng = np.random.default_rng(seed + 1)
    record_ids = np.arange(700_000_001, 700_000_001 + patients)
    hours = np.sort(rng.uniform(0, 40, (patients, scores)), axis=1)
    hours[:, 0] = 0
    noisy = np.clip(risks[:, None] + rng.normal(0, 0.1, (patients, scores)), 0.001, 0.999)
    outcomes = Outcomes(record_ids.astype(np.int32), died)
    return np.repeat(record_ids, scores), hours.ravel(), noisy.ravel(), outcomes


def statics(record_ids, seed=0):
    """Ages, sexes and units at random."""
    rng = np.random.default_rng(seed)
    values = np.full((len(record_ids), len(STATICS)), np.nan, np.float32)
    values[:, STATICS.index("age")] = rng.uniform(20, 90, len(record_ids))
    values[:, STATICS.index("sex")] = rng.integers(0, 2, len(record_ids))
    values[:, STATICS.index("unit_type")] = rng.integers(1, 5, len(record_ids))
    return Statics(np.asarray(record_ids, dtype=np.int32), values)
