"""Every metric, in Prometheus' naming and base units. No label grows with patients.

Histograms are filled a column at a time; prometheus-client's own would cost a call an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from model.reference import RISK_EDGES
from model.variables import NAMES
from stream import background
from stream.columns.events import Code, Dropped
from stream.columns.scores import Drift

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384)
OF_STATE = (Code.WRONG_PARTITION, Code.PAST, Code.DUPLICATE, Code.EARLIER_STAY, Code.OTHER_ENCOUNTER)
STAGES: Mapping[str, Sequence[Code]] = {
    "decode": [code for code in Code if code not in (*OF_STATE, Code.QUARANTINED)],
    "state": OF_STATE,
    "step": [Code.QUARANTINED],
}


class Distribution(Collector):
    """A histogram that is observed an array at a time. Not thread-safe for writers; readers may be late."""

    def __init__(self, name: str, documentation: str, edges: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._edges = np.array(edges, np.float64)
        self._counts = np.zeros(len(edges) + 1, np.int64)
        self._sum = 0.0

    def observe(self, values: NDArray[np.floating]) -> None:
        """Count each of `values` [N]."""
        places = np.searchsorted(self._edges, values)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def observe_one(self, value: float) -> None:
        self.observe(np.array([value]))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = [*map(repr, self._edges.tolist()), "+Inf"]
        cumulative = np.cumsum(self._counts).tolist()
        buckets = [(bound, float(count)) for bound, count in zip(bounds, cumulative, strict=True)]
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


def total(counter: Counter) -> int:
    """Sum of a counter over all its labels."""
    samples = (sample for family in counter.collect() for sample in family.samples)
    return sum(int(sample.value) for sample in samples if sample.name.endswith("_total"))


class Metrics:
    """One worker's metrics, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        count, gauge = self._counter, self._gauge
        self.consumed = count("events_consumed", "Records polled from the input topic.")
        self.scored = count("events_scored", "Events scored.")
        self.discharged = count("discharges", "Discharges applied.")
        self.refused = count("events_refused", "Records sent to the dead-letter topic.", ["stage", "code"])
        self.misplaced = count("events_misplaced", "Events in another partition than their key's.")
        self.dropped = count("values_dropped", "Single fields left out of accepted events.", ["code"])
        self.epochs_lost = count("epochs_lost", "Epochs that were not committed and are done again.")
        self.applied = count("events_already_applied", "Events skipped: the state holds them already.")
        self.measured = count("values_measured", "Values in the events scored, by variable.", ["variable"])
        self.skipped = count("events_skipped", "Events known to be gone before they were scored.")
        self.gaps = count("gaps_skipped", "Gaps in input or state over which a partition went on.")
        self.unread = count("events_deleted_unread", "Events deleted before a partition was first read.")
        self.late = count("scores_late", "Scores of events that are older than one before them.")
        self.closed = count("scores_after_discharge", "Scores of events of a stay that is over.")
        self.hidden = count("values_hidden", "Values that no model was trained on: it is not shown them.")
        self.silences = count(
            "stays_ended_by_silence", "Stays that a long gap in a patient's own time ended."
        )
        self.expired = count(
            "patients_expired", "Patients whose state was dropped: long silent, or discharged."
        )
        self.thread_failures = count(
            "thread_failures", "Failures of a background thread of the worker.", ["thread"]
        )
        self.batch_size = self._distribution("batch_size_events", "Records in a micro-batch.", SIZES)
        self.decode_time = self._distribution("decode_duration_seconds", "Decoding a micro-batch.", SHORT)
        self.step_time = self._distribution("step_duration_seconds", "Stepping a micro-batch.", SHORT)
        self.event_latency = self._distribution(
            "event_latency_seconds", "From observed_at to the acknowledged score.", SECONDS
        )
        self.record_latency = self._distribution(
            "record_latency_seconds", "From the record's timestamp to the acknowledged score.", SECONDS
        )
        self.risk = self._distribution("risk", "Risks in the scores.", RISK_EDGES)
        self.lag = gauge("consumer_lag_records", "Records not yet read.", ["partition"])
        self.assigned = gauge("partitions_assigned", "Partitions assigned to this worker.")
        self.restoring = gauge("partitions_restoring", "Assigned partitions whose state is being restored.")
        self.followed = gauge("standby_partitions", "Partitions of others whose state this worker follows.")
        self.standby_lag = gauge("standby_lag_records", "Changelog records of those, not yet read.")
        self.resident = gauge("patients_resident", "Patients with state on the device.")
        self.evicted = gauge("patients_evicted", "Patients with state in host memory.")
        self.slot_bytes = gauge("patient_state_bytes", "Device memory of one patient's state.")
        self.input_psi = gauge("input_psi", "Drift of a variable's values since training.", ["variable"])
        self.measured_psi = gauge("measured_psi", "Drift of how often it is measured.", ["variable"])
        self.risk_psi = gauge("risk_psi", "Drift of the risks since training.")
        self.show_drift(Drift.unknown(len(NAMES)))
        self._measured = [self.measured.labels(name) for name in NAMES]
        self._lagging: set[str] = set()
        self.total_lag = 0
        self._model = Info("vitalstream_model", "The model that scores.", registry=self.registry)
        for stage, codes in STAGES.items():
            for code in codes:
                self.refused.labels(stage, code.value)
        for name in background.NAMES:
            self.thread_failures.labels(name)
        for kind in Dropped:
            self.dropped.labels(kind.value)

    def describe_model(self, name: str, content_hash: str, target: str) -> None:
        self._model.info({"name": name, "hash": content_hash, "target": target})

    def show_lag(self, lag: Mapping[int, int]) -> None:
        """Set the lag of each assigned partition, and their sum; those of other workers disappear."""
        self.total_lag = sum(lag.values())
        shown = {str(partition): records for partition, records in lag.items()}
        for partition in self._lagging - shown.keys():
            self.lag.remove(partition)
        for partition, records in shown.items():
            self.lag.labels(partition).set(records)
        self._lagging = set(shown)

    def show_drift(self, drift: Drift) -> None:
        """Set the population stability indices; NaN if there is none."""
        for name, values, measured in zip(NAMES, drift.values, drift.measured, strict=True):
            self.input_psi.labels(name).set(values)
            self.measured_psi.labels(name).set(measured)
        self.risk_psi.set(drift.risk)

    def count_measured(self, values: NDArray[np.float32]) -> None:
        """Count what is not NaN in each column of `values` [N, V]."""
        for counter, measured in zip(self._measured, np.isfinite(values).sum(axis=0).tolist(), strict=True):
            counter.inc(measured)

    def count_refused(self, stage: str, codes: Iterable[Code]) -> None:
        for code in codes:
            self.refused.labels(stage, code.value).inc()

    def count_thread_failure(self, name: str) -> None:
        self.thread_failures.labels(name).inc()

    def _counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"vitalstream_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"vitalstream_{name}", documentation, labels, registry=self.registry)

    def _distribution(self, name: str, documentation: str, edges: Sequence[float]) -> Distribution:
        distribution = Distribution(f"vitalstream_{name}", documentation, edges)
        self.registry.register(distribution)
        return distribution
