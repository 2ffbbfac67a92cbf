"""How far two models agree, whatever comes first and in whatever pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rewarm.agreement import FAR, Agreement

Scored = dict[int, float]
SCORES = st.dictionaries(st.integers(0, 200), st.floats(0, 1), max_size=60)


def feed(agreement: Agreement, old: Scored, new: Scored, order: list[bool], partition: int = 0) -> None:
    """Both models' scores in offset order, one at a time, taken by turns as `order` says."""
    streams = {True: sorted(old.items()), False: sorted(new.items())}
    for turn in [*order, *[True] * len(old), *[False] * len(new)]:
        if streams[turn]:
            offset, risk = streams[turn].pop(0)
            add = agreement.add_old if turn else agreement.add_new
            add(partition, np.array([offset]), np.array([risk]))


@given(SCORES, SCORES, st.lists(st.booleans(), max_size=120))
def test_exactly_the_events_that_both_scored_are_compared(
    old: Scored, new: Scored, order: list[bool]
) -> None:
    agreement = Agreement()
    feed(agreement, old, new, order)
    both = sorted(old.keys() & new.keys())
    figures = agreement.figures()
    assert figures.compared == len(both)
    if both:
        ours, theirs = np.array([new[one] for one in both]), np.array([old[one] for one in both])
        assert figures.mean_difference == pytest.approx(np.abs(ours - theirs).mean())
        assert figures.far == pytest.approx((np.abs(ours - theirs) > FAR).mean())
        assert (figures.old, figures.new) == (pytest.approx(theirs.mean()), pytest.approx(ours.mean()))


def test_the_correlation_is_pearsons() -> None:
    random, agreement = np.random.default_rng(1), Agreement()
    old = random.random(500)
    new = np.clip(old + random.normal(0, 0.1, 500), 0, 1)
    for partition, rows in ((0, slice(0, 200)), (1, slice(200, 500))):
        offsets = np.arange(500)[rows]
        agreement.add_new(partition, offsets, new[rows])
        agreement.add_old(partition, offsets, old[rows])
    assert agreement.figures().correlation == pytest.approx(np.corrcoef(old, new)[0, 1])


def test_what_comes_again_counts_once_and_what_is_paired_is_not_kept() -> None:
    agreement, offsets = Agreement(), np.arange(5)
    agreement.add_old(0, offsets, np.full(5, 0.5))
    assert agreement.waiting(0) == 5
    for _ in range(2):
        agreement.add_new(0, offsets, np.full(5, 0.7))
    agreement.add_old(0, offsets, np.full(5, 0.5))
    assert agreement.figures().compared == 5
    assert agreement.waiting(0) == 0


def test_what_was_scored_again_within_one_reading_counts_once() -> None:
    agreement = Agreement()
    agreement.add_old(0, np.array([5, 6, 7, 5, 6, 7]), np.array([0.1, 0.2, 0.3, 0.9, 0.9, 0.9]))
    agreement.add_new(0, np.array([5, 6, 7]), np.array([0.1, 0.2, 0.3]))
    figures = agreement.figures()
    assert (figures.compared, figures.mean_difference) == (3, 0)
    assert agreement.waiting(0) == 0


def test_with_nothing_to_compare_there_is_no_figure() -> None:
    figures = Agreement().figures()
    assert figures.compared == 0
    assert math.isnan(figures.correlation)
