"""The same messages for every benchmark: observations of six values, about 144 bytes, each with its key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from model.variables import VARIABLES

VALUES_PER_EVENT = 6
SHAPES = 64  # different sets of six variables
START_MS = int((time.time() - 3600) * 1000)
"""An hour ago, as a worker refuses what happened long before it was written."""


def patient_key(number: int) -> bytes:
    return b"p%05d" % number


def observations(
    events: int, patients: int, seed: int = 0, first: int = 0, unknown: float = 0.0
) -> Iterator[tuple[bytes, bytes]]:
    """Yield `events` pairs of key and value, patients in a random order, event time rising by 1 ms an event.

    The values of event `first + i` do not depend on how the events are cut into calls with the same seed
    only as far as their time: use one call for one log. `unknown`: share of events of which one variable
    has a name that no table knows.
    """
    random = np.random.default_rng([seed, first])
    shapes = [random.choice(len(VARIABLES), VALUES_PER_EVENT, replace=False) for _ in range(SHAPES)]
    templates = [_template(shape, known=True) for shape in shapes]
    strangers = [_template(shape, known=False) for shape in shapes]
    low, high = np.array([variable.trained for variable in VARIABLES]).T
    span = high - low
    for start in range(0, events, 8192):
        size = min(8192, events - start)
        kinds = random.integers(SHAPES, size=size)
        columns = np.stack(shapes)[kinds]
        values = low[columns] + span[columns] * random.uniform(0.1, 0.9, columns.shape)
        who = random.integers(patients, size=size).tolist()
        strange = (random.random(size) < unknown).tolist()
        for row, (number, kind, six) in enumerate(zip(who, kinds.tolist(), values.tolist(), strict=True)):
            key = patient_key(number)
            template = strangers[kind] if strange[row] else templates[kind]
            yield key, template % (key, START_MS + first + start + row, *six)


def _template(shape: np.ndarray, known: bool) -> bytes:
    names = [VARIABLES[column].name for column in shape]
    if not known:
        names[3] = "Unheard"
    forms = ["%.2f" if VARIABLES[column].trained.high < 10 else "%.1f" for column in shape]
    pairs = ",".join(f'"{name}":{form}' for name, form in zip(names, forms, strict=True))
    return ('{"patient_id":"%b","observed_at":%d,"values":{' + pairs + "}}").encode()
