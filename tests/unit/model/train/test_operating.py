from dataclasses import replace
from itertools import pairwise

import numpy as np

from model.datasets.padding import step_starts
from model.train.operating import MOST_EVENTS, alert_threshold, warm_after
from tests.unit.model import synthetic


def scored(informed_from):
    """Stays whose risk tells the outcome from an event on, and nothing before."""
    held_out = synthetic.learnable(400)
    rng, starts = np.random.default_rng(0), step_starts(held_out.stays)
    risks = rng.random(starts[-1]).astype(np.float32)
    for died, (start, stop) in zip(held_out.died, pairwise(starts), strict=True):
        known = np.arange(start, stop)[informed_from - 1 :]
        risks[known] = 0.4 * risks[known] + 0.5 * died
    return held_out, risks


def test_warm_where_the_scores_begin_to_tell() -> None:
    held_out, risks = scored(4)
    longest = np.diff(step_starts(held_out.stays)).max()
    assert longest < MOST_EVENTS
    assert warm_after(held_out, risks) == MOST_EVENTS  # nobody has so many events


def long_stays(patients):
    """Of 40 events each."""
    examples = synthetic.learnable(patients)
    stays = replace(
        examples.stays,
        starts=np.arange(patients + 1) * 40,
        minutes=np.tile(np.arange(40, dtype=np.int32), patients),
        values=np.full((patients * 40, examples.stays.values.shape[1]), np.nan, dtype=np.float32),
    )
    return replace(examples, stays=stays)


def test_warm_up_is_not_shortened_by_a_lucky_few() -> None:
    few = long_stays(15)
    assert warm_after(few, np.where(np.repeat(few.died, 41), 0.9, 0.1).astype(np.float32)) == MOST_EVENTS


def test_warm_up_of_long_stays() -> None:
    many = long_stays(400)
    rng = np.random.default_rng(0)
    event = np.tile(np.arange(1, 42), 400)
    died = np.repeat(many.died, 41)
    risks = np.where(event >= 5, 0.4 * rng.random(len(event)) + 0.5 * died, rng.random(len(event)))
    assert warm_after(many, risks.astype(np.float32)) == 5
    assert warm_after(many, rng.random(len(event)).astype(np.float32)) == MOST_EVENTS
    assert warm_after(many, np.where(died, 0.9, 0.1).astype(np.float32)) == 1


def test_the_threshold_makes_event_1_as_large_as_can_be() -> None:
    held_out = synthetic.learnable(300)
    rng, starts = np.random.default_rng(1), step_starts(held_out.stays)
    risks = np.clip(rng.random(starts[-1]) + 0.3 * np.repeat(held_out.died, np.diff(starts)), 0, 1)
    last = risks[starts[1:] - 1].astype(np.float32)

    def event_1(threshold):
        alarmed = last >= threshold
        true = (alarmed & held_out.died).sum()
        return min(true / held_out.died.sum(), true / max(alarmed.sum(), 1))

    chosen = alert_threshold(held_out, risks.astype(np.float32))
    assert event_1(chosen) == max(event_1(threshold) for threshold in last)
