from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from stream.metrics import SECONDS, SHORT, SIZES, Distribution

EDGES = [SECONDS, SHORT, SIZES]


@given(st.sampled_from(EDGES).flatmap(
    lambda edges: st.tuples(
        st.just(edges),
        st.lists(st.lists(st.sampled_from(edges) | st.floats(-1, 1e6), max_size=20), max_size=5),
    )
))  # fmt: skip
def test_it_counts_as_prometheus_own_histogram(given_: tuple[list[float], list[list[float]]]) -> None:
    edges, batches = given_
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("d", "Observed.", edges)
    ours.register(distribution)
    histogram = Histogram("d", "Observed.", buckets=edges, registry=theirs)
    for batch in batches:
        distribution.observe(np.array(batch, np.float64))
        for value in batch:
            histogram.observe(value)

    wanted, found = samples(theirs), samples(ours)
    assert found.pop("d_sum{}") == pytest.approx(wanted.pop("d_sum{}"), abs=1e-6)
    assert found == wanted


def samples(registry: CollectorRegistry) -> dict[str, float]:
    return {
        sample.name + str(sample.labels): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
