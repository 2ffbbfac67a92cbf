"""Reading a whole changelog as it is now: what every command that looks at the states begins with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from model.risk_model import RiskModel
from stream.columns.records import Records
from stream.errors import BrokerUnavailable, StateError, TopicError
from stream.kafka.clients import make_source
from stream.kafka.source import Source
from stream.settings import Settings
from stream.state.changelog import Changelog, Checkpoint, End, Patients
from stream.state.replica import POLL_RECORDS, POLL_S, Replica, fold, read_on
from stream.worker.assembly import load_model, make_changelog

STALLED_S = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class Partition:
    """One partition of the changelog. latest: the value of each key that has one. committed: the group's
    offset in the input's partition of the same number, None if it has none."""

    latest: Mapping[bytes, bytes]
    committed: int | None


def load_states(settings: Settings) -> tuple[RiskModel, Changelog]:
    """The model on the CPU and the format of its states. Raises `ModelError`."""
    model = load_model(settings.model_copy(update={"device": "cpu"}))
    return model, make_changelog(settings, model)


def read_changelog(settings: Settings, changelog: Changelog, patience: float = 0.0) -> dict[int, Partition]:
    """Every partition of the changelog, read to its end, outside of the group: it changes nothing.

    While a worker commits, state and committed offset become visible one after the other: a partition in
    which they differ is read on for `patience` seconds. Raises `BrokerError`, `TopicError` if there is no
    such topic.
    """
    make = partial(make_source, settings, settings.application_id, to_end=True)
    read: dict[int, Partition] = {}
    with closing(make()) as source, closing(make()) as group:
        group.assign(settings.observations_topic, {})
        replicas = {partition: Replica() for partition in _partitions(source, changelog.topic)}
        read_on(source, changelog.topic, replicas)
        since = time.monotonic()
        for records in to_ends(source):
            fold(records, replicas)
            ended = sorted(replicas.keys() & source.ended())
            committed = group.committed(ended) if ended else {}
            waited = time.monotonic() - since
            for partition in ended:
                partition_read = Partition(replicas[partition].latest, committed.get(partition))
                if waited >= patience or _settled(changelog, partition_read):
                    read[partition] = partition_read
                    del replicas[partition]
            if not replicas:
                break
    return dict(sorted(read.items()))


def to_ends(source: Source, max_records: int = POLL_RECORDS) -> Iterator[Records]:
    """What an assigned source `to_end` gives, without end, empty batches too. Raises `BrokerUnavailable`
    if nothing comes and no end is reached for `STALLED_S`."""
    last, ended = time.monotonic(), 0
    while True:
        records = source.poll(max_records, POLL_S)
        if len(records) or len(source.ended()) != ended:
            last, ended = time.monotonic(), len(source.ended())
        if time.monotonic() - last > STALLED_S:
            raise BrokerUnavailable(f"no record came for {STALLED_S:.0f} s")
        yield records


@dataclass(frozen=True, slots=True, repr=False)
class Sound:
    """What can be read of a partition. ended: as `Changelog.ended`. unsound: by kind how many records cannot;
    ids: whose they are."""

    patients: Patients
    checkpoint: Checkpoint | None
    ended: Mapping[bytes, End]
    unsound: Counter[str] = field(default_factory=Counter)
    ids: frozenset[bytes] = frozenset()


def sound(changelog: Changelog, latest: Mapping[bytes, bytes]) -> Sound:
    """The records that can be read, and of the others the kinds, as `Changelog.fault`."""
    try:
        return _read(changelog, latest)
    except StateError:
        unsound = {key: value for key, value in latest.items() if not _readable(changelog, key, value)}
    kinds = Counter(map(changelog.fault, unsound.values()))
    readable = {key: value for key, value in latest.items() if key not in unsound}
    return replace(_read(changelog, readable), unsound=kinds, ids=frozenset(unsound))


def all_sound(changelog: Changelog, read: Mapping[int, Partition]) -> dict[int, Sound]:
    """Every partition, of which every record can be read. Raises `StateError`."""
    return {partition: _read(changelog, each.latest) for partition, each in read.items()}


def _read(changelog: Changelog, latest: Mapping[bytes, bytes]) -> Sound:
    return Sound(changelog.patients(latest), changelog.checkpoint(latest), changelog.ended(latest))


def _readable(changelog: Changelog, key: bytes, value: bytes) -> bool:
    try:
        _read(changelog, {key: value})
    except StateError:
        return False
    return True


def _partitions(source: Source, topic: str) -> range:
    count = source.partition_count(topic)
    if not count:
        raise TopicError(f"{topic} is missing: is the application_id right? No worker ran under this one")
    return range(count)


def _settled(changelog: Changelog, read: Partition) -> bool:
    try:
        checkpoint = changelog.checkpoint(read.latest)
    except StateError:
        return True
    return (checkpoint.next_offset if checkpoint else None) == read.committed
