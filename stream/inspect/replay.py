"""The states that a worker should have, made again from the first record of its input, in the same stages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import numpy as np

from model.risk_model import RiskModel
from stream.columns.records import Outgoing, Records
from stream.decode.decoder import Decoder
from stream.inspect.changelog import to_ends
from stream.inspect.future_events import refused_as_future
from stream.kafka.clients import make_source
from stream.settings import Settings
from stream.state.changelog import Changes, Patients
from stream.state.placement import Placement
from stream.state.replica import EARLIEST, Replica, fold
from stream.state.store import StateStore
from stream.step.stepper import Stepper
from stream.worker.assembly import make_changelog, make_periods
from stream.worker.stepping import Stepping


class Rerun:
    """A worker's decoder, store and stepper without its outputs."""

    def __init__(self, settings: Settings, model: RiskModel) -> None:
        fresh = model.initial_state()
        periods = make_periods(settings)
        self._expire_after_ms = periods.expire_after
        self._decoder = Decoder(settings.max_event_bytes, settings.max_future)
        self._placement = Placement(_partitions(settings), refuse=settings.misplaced_records == "refuse")
        self._store = StateStore(fresh, settings.initial_resident_patients, settings.max_resident_patients)
        self._stepping = Stepping(self._store, Stepper(model, fresh), periods, int(settings.max_past * 1000))
        self._changelog = make_changelog(settings, model)
        self._installed: list[Changes] = []

    def install(self, partition: int, patients: Patients, stream_time: int) -> None:
        """What a partition has before its first event."""
        self._store.install(partition, patients, stream_time)
        self._installed.append(Changes(patients, np.full(len(patients), partition, np.int32)))

    def apply(self, records: Records) -> None:
        """What the pipeline does to the state with one micro-batch."""
        events, _, _ = self._placement.check(self._decoder.decode(records).events)
        self._stepping.step(self._stepping.admit(events))
        self._store.expire(self._expire_after_ms)

    def states(self, partitions: list[int]) -> dict[int, Patients]:
        """What the changelog should hold of each partition. To be called once."""
        changes, ended = self._store.take_changes()
        outgoing = self._changelog.encode([*self._installed, *changes], {}, ended)
        replicas = {partition: Replica() for partition in partitions}
        fold(_as_records(outgoing), replicas)
        return {
            partition: self._changelog.patients(replica.latest) for partition, replica in replicas.items()
        }

    def stream_time(self, partition: int) -> int:
        return self._store.stream_time(partition)


def replay(settings: Settings, rerun: Rerun, ends: Mapping[int, int]) -> dict[int, int]:
    """Take the input of each partition of `ends` from its first record up to, not including, that offset;
    how many records it had. Raises `BrokerError`.

    What a worker refused because it was ahead of its clock, a later clock would take: the dead letters show
    which those were, as far as they are retained.
    """
    counts = dict.fromkeys(ends, 0)
    if not (open_ := {partition for partition, end in ends.items() if end}):
        return counts
    early = refused_as_future(settings)
    with closing(make_source(settings, to_end=True)) as source:
        source.assign(settings.observations_topic, dict.fromkeys(open_, EARLIEST))
        for records in to_ends(source, settings.max_batch):
            before = _before(records, ends)
            for partition in np.unique(before.partitions).tolist():
                counts[partition] += int((before.partitions == partition).sum())
            rerun.apply(before.without(early))
            if done := open_ & (_reached(records, ends) | source.ended()):
                source.pause(sorted(done))
                open_ -= done
            if not open_:
                break
    return counts


def _partitions(settings: Settings) -> int:
    with closing(make_source(settings)) as source:
        return source.partition_count(settings.observations_topic)


def _before(records: Records, ends: Mapping[int, int]) -> Records:
    limits = np.array([ends[partition] for partition in records.partitions.tolist()], np.int64)
    return records.keep(records.offsets < limits)


def _reached(records: Records, ends: Mapping[int, int]) -> set[int]:
    rows = zip(records.partitions.tolist(), records.offsets.tolist(), strict=True)
    return {partition for partition, offset in rows if offset + 1 >= ends[partition]}


def _as_records(outgoing: Outgoing) -> Records:
    partitions = np.asarray(outgoing.partitions, np.int32)
    nothing = np.zeros(len(outgoing), np.int64)
    return Records(outgoing.topic, list(outgoing.values), list(outgoing.keys), partitions, nothing, nothing)
