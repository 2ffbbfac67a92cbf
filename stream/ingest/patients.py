"""Who lies on the synthetic ward, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.variables import UnitType
from stream.ingest.physiology import Course


@dataclass(frozen=True, slots=True)
class Plot:
    """What happens on the ward. Hours are since its start; each patient's are drawn from the ranges.

    deteriorating: share of the patients who do. course: hours from the first sign to the worst.
    recovering: share of those who are treated in time, and improve after the worst.
    arterial: share of the patients with an arterial line; the others have a cuff.
    silent: share of the patients of whom one sensor falls silent for good, at an hour of `silence`.
    """

    deteriorating: float = 0.15
    onset: tuple[float, float] = (1.0, 24.0)
    course: tuple[float, float] = (2.0, 8.0)
    recovering: float = 0.4
    arterial: float = 0.7
    silent: float = 0.03
    silence: tuple[float, float] = (0.5, 24.0)


class Patients:
    """Columns of `count` patients, drawn from `chance`.

    courses: int8 [N] of `Course`. arterial: bool [N]. statics: members of the admission's `static`.
    burden: float32 [N], how ill each is without deteriorating, 0 little to 1 heavily. acrophase: float64 [N],
    hours by which the day of each is shifted.
    silent_sensor: int64 [N], index into `SILENCEABLE`. silent_from: float64 [N], hours, infinite where never.
    """

    SILENCEABLE = ("RespRate", "SaO2")

    def __init__(self, count: int, chance: np.random.Generator, plot: Plot) -> None:
        ill = chance.random(count) < plot.deteriorating
        self.courses = np.where(ill, chance.integers(1, len(Course), count), 0).astype(np.int8)
        self.arterial = chance.random(count) < plot.arterial
        self.burden = np.minimum(chance.exponential(0.35, count), 1.3).astype(np.float32)
        self.acrophase = chance.normal(0.0, 1.5, count)
        self._onset = np.where(ill, chance.uniform(*plot.onset, count), np.inf)
        self._course = chance.uniform(*plot.course, count)
        self._recovery = np.where(chance.random(count) < plot.recovering, 1.0, 0.0)
        self._strength = chance.uniform(0.85, 1.2, count)
        self.silent_sensor = chance.integers(0, len(self.SILENCEABLE), count)
        silent = chance.random(count) < plot.silent
        self.silent_from = np.where(silent, chance.uniform(*plot.silence, count), np.inf)
        self.statics = _statics(count, chance)

    def severity(self, rows: NDArray[np.int64] | slice, hours: NDArray[np.float64]) -> NDArray[np.float32]:
        """How far each patient's course has gone: 0 well, about 1 (0.85 to 1.2) at its worst. Rises over the
        course, stays for as long again and, in patients who recover, falls over twice that time."""
        since = (hours - self._onset[rows]) / self._course[rows]
        worse = np.clip(since, 0.0, 1.0)
        better = np.clip((since - 2.0) / 2.0, 0.0, 1.0) * self._recovery[rows]
        return ((worse - better) * self._strength[rows]).astype(np.float32)

    def silent(
        self, sensor: str, rows: NDArray[np.int64] | slice, hours: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether each patient's `sensor` has fallen silent."""
        chosen = self.silent_sensor[rows] == self.SILENCEABLE.index(sensor)
        return np.asarray(chosen & (hours >= self.silent_from[rows]))


def _statics(count: int, chance: np.random.Generator) -> list[bytes]:
    age = np.clip(chance.normal(64, 15, count), 18, 95).round().astype(int)
    male = chance.random(count) < 0.56
    height = np.where(male, chance.normal(176, 7.5, count), chance.normal(163, 7, count)).round()
    weight = (np.clip(chance.normal(27.5, 5, count), 17, 50) * (height / 100) ** 2).round(1)
    unit = chance.choice(len(UnitType), count, p=(0.15, 0.2, 0.37, 0.28))
    measured = chance.random(count) < 0.55
    units = [kind.name.lower() for kind in UnitType]
    tall = [f'"height":{cm:.0f},' if known else "" for cm, known in zip(height, measured, strict=True)]
    sex = np.where(male, "male", "female")
    people = zip(age, sex, tall, weight, unit, strict=True)
    return [
        f'"age":{years},"sex":"{gender}",{cm}"weight":{kg},"unit_type":"{units[kind]}"'.encode()
        for years, gender, cm, kg, kind in people
    ]
