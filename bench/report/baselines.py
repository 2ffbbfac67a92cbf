"""What the model is measured against: clinical scores, logistic regression, gradient boosting. Scores of
every step of stays, flat as in `model.datasets.padding.step_starts`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.datasets.padding import step_hours, step_owners, step_starts
from model.datasets.physionet2012 import outcomes_path
from model.datasets.stays import Stays
from model.features import SKEWED
from model.train.examples import Examples
from model.train.statistics import STATISTICS, running_statistics
from model.train.teacher import boosted, sampled
from model.variables import INDEX, NAMES, STATICS
from stream.assess.news2 import VitalSigns
from stream.stays.record import VITALS

Scores = NDArray[np.float64]


def saps(data: Path, name: str, stays: Stays) -> Scores:
    """SAPS-I as published with the outcomes: one number a stay, known at its end; -1 where missing."""
    with outcomes_path(data, name).open(newline="") as file:
        points = {int(row["RecordID"]): float(row["SAPS-I"]) for row in csv.DictReader(file)}
    known = np.array([points[record] for record in stays.record_ids.tolist()])
    return known[step_owners(stays)]


def news2(stays: Stays) -> Scores:
    """NEWS2 of the last vital signs, as the worker counts it: stale or missing ones count 0."""
    columns = [INDEX[name] for name in VITALS]
    starts, hours = step_starts(stays), step_hours(stays)
    signs = VitalSigns(VITALS)
    scores = np.empty(int(starts[-1]))
    for patient in range(len(stays)):
        steps = slice(int(starts[patient]), int(starts[patient + 1]))
        values = np.vstack([np.full(len(columns), np.nan), stays.values[stays.rows(patient)][:, columns]])
        seen = np.isfinite(values)
        latest = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], 0), axis=0)
        carried = np.take_along_axis(values, latest, axis=0).astype(np.float32)
        ages = (hours[steps][:, None] - hours[steps][latest]).astype(np.float32)
        scores[steps] = signs.assess(carried, ages).news2
    return scores


@dataclass(frozen=True, slots=True)
class Summaries:
    """Running statistics of every step of the stays to learn from and of those to be scored."""

    learnt: Examples
    known: NDArray[np.float32]
    unseen: NDArray[np.float32]

    @classmethod
    def of(cls, learnt: Examples, tested: Examples) -> Self:
        return cls(learnt, running_statistics(learnt.stays), running_statistics(tested.stays))

    def boosting(self, seed: int) -> Scores:
        """Gradient boosting on them: the teacher, fitted to all of `learnt`."""
        rows, died = self._sample(seed)
        return np.asarray(boosted(self.known[rows], died, seed).predict_proba(self.unseen)[:, 1])

    def logistic(self, seed: int) -> Scores:
        """Logistic regression on the same; skewed ones as log1p, unknown ones at the mean."""
        rows, died = self._sample(seed)
        columns, unseen = _linear(self.known[rows]), _linear(self.unseen)
        centre = np.nan_to_num(np.nanmean(columns, axis=0))
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=5e-4, max_iter=500))
        fitted.fit(np.where(np.isnan(columns), centre, columns), died)
        return np.asarray(fitted.predict_proba(np.where(np.isnan(unseen), centre, unseen))[:, 1])

    def _sample(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        everybody = np.arange(len(self.learnt.stays))
        rows = sampled(self.learnt, everybody, np.random.default_rng(seed))
        return rows, self.learnt.died[step_owners(self.learnt.stays)[rows]]


def _linear(statistics: NDArray[np.float32]) -> NDArray[np.float64]:
    columns = statistics.astype(np.float64)
    skewed = np.array([name in SKEWED for name in NAMES])
    for place, name in enumerate(STATISTICS):
        part = columns[:, place * len(NAMES) : (place + 1) * len(NAMES)]
        if name in ("last", "minimum", "maximum", "mean"):
            part[:, skewed] = np.log1p(part[:, skewed])
        elif name == "count":
            np.log1p(part, out=part)
    unit = columns[:, len(STATISTICS) * len(NAMES) + STATICS.index("unit_type"), None] == np.arange(1, 5)
    return np.hstack((columns, unit))
