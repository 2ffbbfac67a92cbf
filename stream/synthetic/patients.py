"""Who comes to the synthetic ward, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from model.variables import UnitType
from stream.synthetic.physiology import TRAITS, Course
from stream.synthetic.scenario import Range, Scenario

SILENCEABLE = ("RespRate", "SaO2")
USUAL = {name: column for column, name in enumerate(TRAITS)}
"""Column of each variable in `usual`."""

PERSON = np.dtype(
    [
        ("number", np.int64),
        ("static", "S100"),
        ("usual", np.float32, len(TRAITS)),
        ("burden", np.float32),
        ("acrophase", np.float64),
        ("arterial", np.bool_),
    ]
)
"""What a patient brings along. static: members of the admission's `static`. usual: how far, in spreads, each
of the patient's values lies from the mean. burden: how ill without deteriorating, 0 little to 1 heavily.
acrophase: hours by which the patient's day is shifted."""

FATE = np.dtype(
    [(name, np.float64) for name in ("onset", "rise", "relieved", "fall", "well")]
    + [(name, np.float64) for name in ("arrest", "leaves", "silent_from")]
    + [(name, np.float32) for name in ("strength",)]
    + [(name, np.int8) for name in ("course", "silent_sensor")]
    + [(name, np.bool_) for name in ("dies", "returns")]
)
"""What becomes of a patient during a stay, in hours since the admission, infinite for never. relieved: seen
to, or the pulse is back, or death. arrest: the heart stops. leaves: discharge, or the body is taken away."""

AFTERWARDS = 1.1
"""A patient who was ill is watched for a tenth of the stay more once well."""
LONGEST_DEVIATION = 1.6
BLOCK = 64


def arrivals(
    first: int, scenario: Scenario, later: Scenario, seed: np.random.SeedSequence
) -> Iterator[tuple[np.void, np.void]]:
    """Patients without end, `PERSON` and `FATE` of each; the `first` ones by `scenario`, the rest by
    `later`."""
    people, fates = (np.random.default_rng(child) for child in seed.spawn(2))
    yield from zip(_people(0, first, people, scenario), _fates(0, first, fates, scenario), strict=True)
    for number in count(step=BLOCK):
        who, what = _people(first + number, BLOCK, people, later), _fates(number, BLOCK, fates, later)
        yield from zip(who, what, strict=True)


def _share(numbers: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Which of the patients of these `numbers`, counted from 0, are of the share: the first always is, unless
    the share is 0, and the rest follow evenly."""
    return np.asarray(np.ceil((numbers + 1) * share) > np.ceil(numbers * share))


def _spread(rng: np.random.Generator, limits: Range, size: int) -> NDArray[np.float64]:
    """One number from each of `size` equal parts of the range, in any order."""
    low, high = limits
    return low + (high - low) * (rng.permutation(size) + rng.random(size)) / size


def _fates(number: int, size: int, rng: np.random.Generator, scenario: Scenario) -> NDArray[np.void]:
    numbers = np.arange(number, number + size)
    ill = _share(numbers, scenario.deteriorating)
    cases = np.ceil(numbers * scenario.deteriorating).astype(np.int64)
    arresting = ill & _share(cases, scenario.arresting)
    arrests = np.ceil(cases * scenario.arresting).astype(np.int64)
    drawn = {name: rng.uniform(*limits, size) for name, limits in scenario.lengths().items()}
    fates = np.zeros(size, FATE)
    fates["course"] = np.where(ill, rng.integers(1, len(Course), size), Course.STABLE)
    fates["strength"] = rng.uniform(0.85, 1.15, size)
    fates["onset"] = np.where(ill, drawn["onset"], np.inf)
    fates["rise"], fates["fall"] = drawn["course"], drawn["recovery"]
    worst = fates["onset"] + fates["rise"]
    fates["arrest"] = np.where(arresting, worst, np.inf)
    fates["relieved"] = worst + np.where(arresting, drawn["code"] / 60.0, drawn["wait"])
    fates["well"] = fates["relieved"] + fates["fall"]
    fates["dies"] = arresting & ~_share(arrests, scenario.surviving)
    after = np.where(fates["dies"], fates["relieved"], fates["well"] * AFTERWARDS)
    stay = _spread(rng, scenario.stay, size)
    fates["leaves"] = np.where(fates["dies"], after, np.where(ill, np.maximum(stay, after), stay))
    fates["returns"] = ~fates["dies"] & (rng.random(size) < scenario.returning)
    fates["silent_sensor"] = rng.integers(0, len(SILENCEABLE), size)
    silent = rng.random(size) < scenario.silent
    fates["silent_from"] = np.where(silent, drawn["silence"], np.inf)
    return fates


def _people(number: int, size: int, rng: np.random.Generator, scenario: Scenario) -> NDArray[np.void]:
    people = np.zeros(size, PERSON)
    people["number"] = np.arange(number, number + size)
    deviation = rng.standard_normal((size, len(TRAITS)), np.float32)
    people["usual"] = np.clip(deviation, -LONGEST_DEVIATION, LONGEST_DEVIATION)
    people["burden"] = np.minimum(rng.exponential(0.35, size), 1.0)
    people["acrophase"] = rng.normal(0.0, 1.5, size)
    people["arterial"] = rng.random(size) < scenario.arterial
    people["static"] = _statics(size, rng)
    return people


def _statics(size: int, rng: np.random.Generator) -> list[bytes]:
    age = np.clip(rng.normal(64, 15, size), 18, 95).round().astype(int)
    male = rng.random(size) < 0.56
    height = np.where(male, rng.normal(176, 7.5, size), rng.normal(163, 7, size)).round()
    weight = (np.clip(rng.normal(27.5, 5, size), 17, 50) * (height / 100) ** 2).round(1)
    unit = rng.choice(len(UnitType), size, p=(0.15, 0.2, 0.37, 0.28))
    measured = rng.random(size) < 0.55
    units = [kind.name.lower() for kind in UnitType]
    tall = [f'"height":{cm:.0f},' if known else "" for cm, known in zip(height, measured, strict=True)]
    sex = np.where(male, "male", "female")
    people = zip(age, sex, tall, weight, unit, strict=True)
    return [
        f'"age":{years},"sex":"{gender}",{cm}"weight":{kg},"unit_type":"{units[kind]}"'.encode()
        for years, gender, cm, kg, kind in people
    ]
