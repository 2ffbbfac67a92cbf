"""How far the order of arrival moves the model's risk, with recorded stays: figures of docs/contracts.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model.artifact import load
from model.datasets.stays import Stays
from model.variables import NAMES
from stream.columns.events import Kind
from stream.settings import SHIPPED_MODEL
from tests.support.events import Event, Ward

MODEL = load(SHIPPED_MODEL, "cpu")
Log = list[Event]


def logs_of(stays: Stays) -> list[Log]:
    """An admission and the observations of each stay, in the order of time."""
    found = []
    for place, record in enumerate(stays.record_ids.tolist()):
        log = [Event(str(record), 0, {}, Kind.ADMISSION, tuple(stays.statics[place].tolist()))]
        for row in range(stays.starts[place], stays.starts[place + 1]):
            measured = np.flatnonzero(~np.isnan(stays.values[row]))
            values = {NAMES[column]: float(stays.values[row, column]) for column in measured.tolist()}
            log.append(Event(str(record), int(stays.minutes[row]), values))
        found.append(log)
    return found


def last_risks(logs: list[Log]) -> np.ndarray:
    ward = Ward(MODEL, initial=len(logs))
    last: dict[bytes, float] = {}
    for turn in range(max(map(len, logs))):
        for scores in ward.feed([log[turn] for log in logs if turn < len(log)]):
            last |= dict(zip(scores.events.patients, scores.risk.tolist(), strict=True))
    return np.array([last[log[0].patient.encode()] for log in logs])


def some_late(log: Log, random: np.random.Generator) -> Log:
    """One event in ten comes after up to five later ones."""
    late = random.random(len(log)) < 0.1
    keys = np.arange(len(log)) + np.where(late, random.integers(1, 6, len(log)) + 0.5, 0)
    return [log[row] for row in np.argsort(keys, kind="stable")]


def shuffled(log: Log, random: np.random.Generator) -> Log:
    return [log[row] for row in random.permutation(len(log))]


@pytest.mark.parametrize(("reorder", "median", "most"), [(some_late, 0.003, 0.1), (shuffled, 0.05, 0.5)])
def test_the_order_of_arrival_moves_the_last_risk_no_further_than_stated(
    stays: Stays, reorder: Callable[[Log, np.random.Generator], Log], median: float, most: float
) -> None:
    random = np.random.default_rng(0)
    logs = logs_of(stays)
    apart = np.abs(last_risks([reorder(log, random) for log in logs]) - last_risks(logs))
    assert 0 < np.median(apart) <= median
    assert apart.max() <= most
