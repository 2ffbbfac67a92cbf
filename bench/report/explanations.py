"""Alerts on real stays, explained, and whether the explanations name what matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.datasets.padding import pad, step_owners, step_places
from model.datasets.stays import Stays
from model.evaluate.offline import step_risks
from model.explain.attribution import attribute
from model.explain.contributors import NAMED, contributors
from model.explain.deletion import random_others, top, without
from model.explain.words import in_words
from model.risk_model import RiskModel
from model.variables import NAMES


@dataclass(frozen=True, slots=True)
class Alerted:
    """The first score at or above the alert threshold of each of N patients. before: their rows before it.
    values, elapsed, hours: of its event. risks: float32 [N]."""

    before: Tensor
    values: Tensor
    elapsed: Tensor
    hours: Tensor
    risks: Tensor

    @property
    def event(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.before, self.values, self.elapsed, self.hours


@dataclass(frozen=True, slots=True)
class Deletion:
    """How far the log-odds move, on average over N alerts, without the `NAMED` variables that are named, and
    without as many other known ones. incompleteness: mean difference between the sum of the effects and what
    it should be, as a share of the effects' absolute sum."""

    alerts: int
    named: float
    others: float
    incompleteness: float

    @property
    def ratio(self) -> float:
        return self.named / self.others


def first_alerts(model: RiskModel, stays: Stays, count: int, seed: int = 0) -> Alerted:
    """The first alerts of `count` random patients, stepped to their alert as the stream does."""
    place, owner = step_places(stays), step_owners(stays)
    alerting = step_risks(model, stays) >= model.alert_threshold
    alerting &= (place + 1 >= model.warm_after) & (place > 0)
    rows = np.flatnonzero(alerting)
    who, first = np.unique(owner[rows], return_index=True)
    chosen = np.random.default_rng(seed).permutation(len(who))[:count]
    alerts = [_alert(model, stays, who[patient], int(place[rows[first[patient]]])) for patient in chosen]
    return Alerted(*(torch.cat(column) for column in zip(*alerts, strict=True)))


def worded(model: RiskModel, alerted: Alerted) -> list[tuple[float, float, list[tuple[float, str]]]]:
    """Hours since admission, risk, and the effects and words of what moved it, of each alert."""
    named_variables = contributors(model, *alerted.event)
    texts = []
    for row, (hours, risk) in enumerate(zip(alerted.hours.tolist(), alerted.risks.tolist(), strict=True)):
        named = zip(*(column[row].tolist() for column in named_variables), strict=True)
        words = [
            (effect, in_words(variable, effect, *rest))
            for variable, effect, *rest in named
            if rest[0] == rest[0]
        ]
        texts.append((hours, risk, words))
    return texts


def deletion(model: RiskModel, alerted: Alerted, seed: int = 0) -> Deletion:
    attribution = attribute(model, *alerted.event)
    effects = attribution.effects
    named = top(effects, NAMED)
    after, _ = model.step(*alerted.event)
    known = (model.memory(after).counts > 0).numpy()
    others = random_others(known, named.numpy(), np.random.default_rng(seed))
    kept = without(model, *alerted.event, torch.zeros(len(effects), len(NAMES), dtype=torch.bool))
    moved = [float((without(model, *alerted.event, gone) - kept).abs().mean()) for gone in (named, others)]
    missing = (effects.sum(dim=1) - attribution.difference).abs() / effects.abs().sum(dim=1)
    return Deletion(len(effects), moved[0], moved[1], float(missing.mean()))


def _alert(model: RiskModel, stays: Stays, patient: int, at: int) -> tuple[Tensor, ...]:
    """The patient's step `at`, as a row of `Alerted`."""
    batch = pad(stays, np.array([patient]))
    values, elapsed, hours = batch.values[0], batch.elapsed[0], batch.hours[0]
    with torch.inference_mode():
        begun = model.admit(model.initial_state()[None], batch.statics)
        rows, risks = model.scan(begun, values, elapsed, hours, [1] * len(values))
    row = slice(at, at + 1)
    return rows[at - 1 : at], values[row], elapsed[row], hours[row], risks[row]
