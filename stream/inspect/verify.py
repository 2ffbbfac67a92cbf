"""Whether a changelog is what it should be: each record, each partition's progress, and the states against a
replay of the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model.risk_model import RiskModel
from stream.inspect.changelog import Partition, Sound, read_changelog, sound
from stream.inspect.replay import Rerun, replay
from stream.inspect.snapshot import States
from stream.kafka.clients import make_source
from stream.settings import Settings
from stream.state.changelog import Checkpoint, Patients
from stream.stays.record import expired
from stream.worker.assembly import make_changelog

TOLERANCE = 1e-5
"""Within which a row's numbers are the same: batches of other sizes round otherwise."""

FAULTS = {
    "foreign": "records that vitalstream did not write",
    "version": "records of another version of the format",
    "model": "records of another model",
    "checksum": "damaged records",
    "partitions": "topics with another number of partitions than the input",
    "mark": "partitions whose progress differs from the group's committed offset",
    "gap": "partitions whose next event is not retained",
    "ahead": "states that are ahead of their partition's progress",
    "stream_time": "partitions whose stream time is not that of the input",
    "missing": "patients without the state that the input makes",
    "surplus": "patients with a state that the input does not make",
    "stay": "stays that are not what the input makes",
    "row": "rows that are not what the input makes",
    "texts": "encounters, units or beds that are not those of the input",
}
"""Every kind of fault, and what is counted."""


@dataclass(frozen=True, slots=True, repr=False)
class Checked:
    """A partition. replayed: replayed records of the input, None if the input is no longer retained from
    its first offset; then its states are checked by their checksums alone."""

    patients: int
    checkpoint: Checkpoint | None
    committed: int | None
    replayed: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """faults: how many of each kind, of `FAULTS`."""

    partitions: dict[int, Checked]
    faults: Counter[str] = field(default_factory=Counter)


def check(settings: Settings, model: RiskModel, imported: States | None = None) -> Report:
    """Everything that can be checked. imported: with what the changelog began, if not with nothing.

    A partition in which a worker is at work is looked at as it is at one of its commits. Raises
    `BrokerError`, `TopicError` if there is no changelog.
    """
    changelog = make_changelog(settings, model)
    read = read_changelog(settings, changelog, 2 * settings.transaction_timeout)
    states = {partition: sound(changelog, state.latest) for partition, state in read.items()}
    faults = Counter[str]()
    for partition, state in states.items():
        faults += state.unsound
        faults["mark"] += not _agrees(settings, state, read[partition])
    bounds = _look_at_topics(settings, len(read), faults)
    exactly_once = settings.processing_guarantee == "exactly_once"
    settled = {partition: _settled(state, exactly_once, faults) for partition, state in states.items()}
    ends = _replayable(settled, bounds, faults)
    replayed = _compare_with_replay(settings, model, settled, ends, imported, faults)
    partitions = {
        partition: Checked(
            len(state.patients), state.checkpoint, read[partition].committed, replayed.get(partition)
        )
        for partition, state in states.items()
    }
    return Report(partitions, +faults)


def compare(actual: Patients, wanted: Patients) -> Counter[str]:
    """How many patients differ in which way; both know each patient once."""
    places = {patient_id: place for place, patient_id in enumerate(wanted.ids)}
    known = np.array([patient_id in places for patient_id in actual.ids], np.bool_)
    here = actual.take(np.flatnonzero(known))
    there = wanted.take(np.array([places[patient_id] for patient_id in here.ids], np.int64))
    same = np.abs(here.rows - there.rows) <= TOLERANCE  # NaN is never the same
    return Counter(
        missing=len(wanted) - len(here),
        surplus=len(actual) - len(here),
        row=int((~same.all(axis=1)).sum()),
        stay=int((_bytes(here.stays) != _bytes(there.stays)).any(axis=1).sum()),
        texts=sum(mine != theirs for mine, theirs in zip(here.texts, there.texts, strict=True)),
    )


def _bytes(stays: NDArray[np.void]) -> NDArray[np.uint8]:
    """uint8 [N, B]: what is not a number is compared, too."""
    return np.ascontiguousarray(stays).view(np.uint8).reshape(len(stays), stays.itemsize)


def _agrees(settings: Settings, sound: Sound, read: Partition) -> bool:
    """As a worker sees it when it restores; the group's offsets may have expired."""
    if sound.checkpoint is None:
        return read.committed is None and not len(sound.patients)
    if read.committed is None or sound.checkpoint.next_offset == read.committed:
        return True
    return settings.processing_guarantee == "at_least_once" and sound.checkpoint.next_offset > read.committed


def _look_at_topics(settings: Settings, partitions: int, faults: Counter[str]) -> dict[int, tuple[int, int]]:
    """First and next offset of each of the input's partitions."""
    with closing(make_source(settings)) as source:
        count = source.partition_count(settings.observations_topic)
        others = settings.scores_topic, settings.dead_letters_topic
        faults["partitions"] += partitions != count
        faults["partitions"] += sum(source.partition_count(topic) != count for topic in others)
        numbers = range(min(count, partitions))
        source.assign(settings.observations_topic, {})
        begins, ends = source.beginning_offsets(numbers), source.end_offsets(numbers)
    return {partition: (begins[partition], ends[partition]) for partition in numbers}


def _settled(sound: Sound, exactly_once: bool, faults: Counter[str]) -> Sound:
    """Drops the patients whose last event is not yet part of the partition's progress. There may be such
    only if an epoch is no transaction."""
    if sound.checkpoint is None:
        return sound
    ahead = sound.patients.stays["next_offset"] > sound.checkpoint.next_offset
    faults["ahead"] += int(ahead.sum()) if exactly_once else 0
    ended = {
        patient_id
        for patient_id, end in sound.ended.items()
        if end.next_offset > sound.checkpoint.next_offset
    }
    faults["ahead"] += len(ended) if exactly_once else 0
    ids = sound.ids | ended | {sound.patients.ids[place] for place in np.flatnonzero(ahead).tolist()}
    return replace(sound, patients=sound.patients.take(np.flatnonzero(~ahead)), ids=frozenset(ids))


def _replayable(
    states: Mapping[int, Sound], bounds: Mapping[int, tuple[int, int]], faults: Counter[str]
) -> dict[int, int]:
    """The offset up to which to replay each partition that can be replayed."""
    ends = {}
    for partition, (begin, end) in bounds.items():
        if (checkpoint := states[partition].checkpoint) is None:
            continue
        retained = begin <= checkpoint.next_offset <= end
        faults["gap"] += not retained
        if retained and begin == 0:
            ends[partition] = checkpoint.next_offset
    return ends


def _compare_with_replay(
    settings: Settings,
    model: RiskModel,
    states: Mapping[int, Sound],
    ends: dict[int, int],
    imported: States | None,
    faults: Counter[str],
) -> dict[int, int]:
    """How many records of each partition were replayed."""
    rerun = Rerun(settings, model)
    if imported is not None:
        begun = imported.placed(dict.fromkeys(states, 0))
        for partition in ends:
            rerun.install(partition, begun.of(partition), begun.checkpoints[partition].stream_time)
    counts = replay(settings, rerun, ends)
    for partition, wanted in rerun.states(list(ends)).items():
        now = rerun.stream_time(partition)
        checkpoint = states[partition].checkpoint
        faults["stream_time"] += checkpoint is not None and checkpoint.stream_time != now
        faults.update(
            compare(
                _still_there(states[partition].patients, now, frozenset()),
                _still_there(wanted, now, states[partition].ids),
            )
        )
    return counts


def _still_there(patients: Patients, now: int, without: frozenset[bytes]) -> Patients:
    """Those whose stay has not expired: when a worker clears the others away is its own affair."""
    left: NDArray[np.bool_] = ~expired(patients.stays, now)
    left &= np.array([patient_id not in without for patient_id in patients.ids], np.bool_)
    return patients.take(np.flatnonzero(left))
