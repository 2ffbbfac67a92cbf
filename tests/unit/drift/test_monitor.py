from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.reference import BINS, Histogram, Reference
from model.variables import INDEX, NAMES
from stream.columns.events import Kind
from stream.columns.scores import Drift, Scores
from stream.drift.monitor import HALF_LIFE_S, SAMPLE, DriftMonitor, NullDriftMonitor, Window
from stream.drift.stability import LEAST, stability
from tests.support.events import Event, columns

HR, GCS, LACTATE = (INDEX[name] for name in ("HR", "GCS", "Lactate"))
RNG = np.random.default_rng(0)
TRAINING = np.full((5000, len(NAMES)), np.nan, np.float32)
TRAINING[:, HR] = RNG.normal(80, 10, len(TRAINING))
TRAINING[::2, GCS] = RNG.integers(3, 16, len(TRAINING) // 2)
RISKS = RNG.beta(1, 6, len(TRAINING)).astype(np.float32)
REFERENCE = Reference.fit(TRAINING, RISKS)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def scored(values: np.ndarray, risks: np.ndarray, kind: Kind = Kind.OBSERVATION) -> Scores:
    events = columns([Event("a", 0, kind=kind)] * len(values))
    events.values[:] = values
    nothing = np.zeros(len(values), np.float32)
    counts = np.zeros(len(values), np.int64)
    return Scores(
        events,
        risks.astype(np.float32),
        counts,
        late=counts > 0,
        closed=counts > 0,
        vitals=nothing[:, None],
        ages=nothing[:, None],
        places=events.places,
    )


def feed(watch: DriftMonitor, values: np.ndarray, risks: np.ndarray, size: int = SAMPLE) -> Drift:
    for start in range(0, len(values), size):
        watch.observe(scored(values[start : start + size], risks[start : start + size]))
    return watch.drift()


def test_what_the_model_was_made_with_is_no_drift() -> None:
    drift = feed(DriftMonitor(REFERENCE, Clock()), TRAINING, RISKS)
    assert drift.values[[HR, GCS]] == pytest.approx([0, 0], abs=1e-6)
    assert drift.measured == pytest.approx(np.zeros(len(NAMES)), abs=1e-6)
    assert drift.risk == pytest.approx(0, abs=1e-6)
    assert np.isnan(np.delete(drift.values, [HR, GCS])).all()


def test_other_values_rates_and_risks_are_told_apart() -> None:
    values = TRAINING.copy()
    values[:, HR] += 15
    values[:, GCS] = np.nan
    values[:, LACTATE] = 2
    drift = feed(DriftMonitor(REFERENCE, Clock()), values, RISKS / 3)
    assert drift.values[HR] > 0.25
    assert np.isnan(drift.values[GCS])
    assert drift.measured[[HR, GCS, LACTATE]] == pytest.approx([0, 4.7, 18], rel=0.1, abs=1e-6)
    assert drift.risk > 0.25


def test_too_few_values_are_no_drift() -> None:
    few = TRAINING[: LEAST - 1] + 50
    drift = feed(DriftMonitor(REFERENCE, Clock()), few, RISKS[: LEAST - 1])
    assert np.isnan(drift.values).all()
    assert np.isnan(drift.measured).all()
    assert np.isnan(drift.risk)


def test_what_is_long_ago_is_forgotten() -> None:
    clock = Clock()
    watch = DriftMonitor(REFERENCE, clock)
    far = feed(watch, TRAINING + 50, RISKS).values[HR]
    clock.now += HALF_LIFE_S
    watch.drift()
    mixed = feed(watch, TRAINING, RISKS).values[HR]
    clock.now += 20 * HALF_LIFE_S
    watch.drift()
    near = feed(watch, TRAINING, RISKS).values[HR]
    assert far > mixed > 0.25
    assert near == pytest.approx(0, abs=1e-4)
    clock.now += 20 * HALF_LIFE_S
    assert np.isnan(watch.drift().values).all()


def test_a_half_life_leaves_half() -> None:
    clock = Clock()
    watch = DriftMonitor(REFERENCE, clock)
    feed(watch, TRAINING[: 2 * LEAST], RISKS[: 2 * LEAST])
    clock.now += 0.999 * HALF_LIFE_S
    assert np.isfinite(watch.drift().risk)
    clock.now += 0.002 * HALF_LIFE_S
    assert np.isnan(watch.drift().risk)


def test_an_admission_measures_nothing_and_has_a_risk() -> None:
    watch = DriftMonitor(REFERENCE, Clock())
    unmeasured = np.full((SAMPLE, len(NAMES)), np.nan, np.float32)
    for _ in range(5):
        watch.observe(scored(unmeasured, np.full(SAMPLE, 0.5), Kind.ADMISSION))
    assert np.isnan(watch.drift().measured).all()
    assert watch.drift().risk > 1


def test_of_a_large_batch_some_are_looked_at_and_each_in_its_turn() -> None:
    """Every row has another risk; the batch comes as often as it takes to see them all."""
    step = 5
    edges = np.linspace(0.1, 0.9, 9)
    reference = REFERENCE.model_copy(update={"risk": Histogram(edges=tuple(edges), shares=(0.1,) * 10)})
    watch = DriftMonitor(reference, Clock())
    risks = np.linspace(0, 1, step * SAMPLE, endpoint=False) + 1e-4
    values = np.full((len(risks), len(NAMES)), 1, np.float32)
    watch.observe(scored(values, risks))
    assert np.isnan(watch.drift().risk)
    for _ in range(step - 1):
        watch.observe(scored(values, risks))
    assert watch.drift().risk == pytest.approx(0, abs=1e-9)


def test_empty_batches_change_nothing() -> None:
    watch = DriftMonitor(REFERENCE, Clock())
    feed(watch, TRAINING[:SAMPLE], RISKS[:SAMPLE])
    watch.observe(scored(TRAINING[:0], RISKS[:0]))
    assert watch.drift().measured == pytest.approx(np.full(len(NAMES), np.nan), nan_ok=True)


HISTOGRAMS = st.lists(
    st.lists(st.integers(-3, 3), max_size=BINS - 1, unique=True).map(
        lambda edges: Histogram(edges=tuple(sorted(edges)), shares=(1 / (len(edges) + 1),) * (len(edges) + 1))
    ),
    min_size=1,
    max_size=4,
)
CELLS = st.none() | st.integers(-4, 4) | st.floats(-4, 4, width=32)


@given(HISTOGRAMS, st.data())
@settings(deadline=None)
def test_a_window_counts_as_a_plain_loop(histograms: list[Histogram], data: st.DataObject) -> None:
    row = st.lists(CELLS, min_size=len(histograms), max_size=len(histograms))
    batches = data.draw(st.lists(st.lists(row, max_size=8), max_size=3))
    window = Window(histograms)
    for batch in batches:
        window.add(np.array(batch, np.float32).reshape(-1, len(histograms)))
    window.fade(1000.0)
    columns = [[row[c] for batch in batches for row in batch] for c in range(len(histograms))]
    wanted = [counted(histogram, column) for histogram, column in zip(histograms, columns, strict=True)]
    assert window.totals == pytest.approx([1000 * sum(counts) for counts in wanted])
    indices = [
        stability(np.array(histogram.shares)[:, None], 1000 * np.array(counts, np.float64)[:, None]).item()
        for histogram, counts in zip(histograms, wanted, strict=True)
    ]
    assert window.stability() == pytest.approx(indices, nan_ok=True)


def counted(histogram: Histogram, values: Sequence[float | None]) -> list[int]:
    counts = [0] * len(histogram.shares)
    for value in values:
        if value is not None:
            counts[sum(edge <= np.float32(value) for edge in histogram.edges)] += 1
    return counts


def test_a_model_that_tells_nothing_has_no_drift() -> None:
    blind = NullDriftMonitor()
    blind.observe(scored(TRAINING[:3], RISKS[:3]))
    drift = blind.drift()
    assert np.isnan([*drift.values, *drift.measured, drift.risk]).all()
