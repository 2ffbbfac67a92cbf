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
from stream.state.changelog import Mark, Patients
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
    """A partition. replayed: records of the input that were, None where the input is no longer retained from
    its first offset: then its states are checked by their checksums alone."""

    patients: int
    mark: Mark | None
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
    `BrokerError`, `TopicError` where there is no changelog.
    """
    changelog = make_changelog(settings, model)
    read = read_changelog(settings, changelog, 2 * settings.transaction_timeout)
    found = {one: sound(changelog, each.latest) for one, each in read.items()}
    faults = Counter[str]()
    for one, each in found.items():
        faults += each.unsound
        faults["mark"] += not _agrees(settings, each, read[one])
    bounds = _look_at_topics(settings, len(read), faults)
    exactly_once = settings.processing_guarantee == "exactly_once"
    settled = {one: _settled(each, exactly_once, faults) for one, each in found.items()}
    ends = _replayable(settled, bounds, faults)
    replayed = _compare_with_replay(settings, model, settled, ends, imported, faults)
    partitions = {
        one: Checked(len(each.patients), each.mark, read[one].committed, replayed.get(one))
        for one, each in found.items()
    }
    return Report(partitions, +faults)


def compare(found: Patients, wanted: Patients) -> Counter[str]:
    """How many patients differ in which way; both know each patient once."""
    places = {one: place for place, one in enumerate(wanted.ids)}
    known = np.array([one in places for one in found.ids], np.bool_)
    here = found.take(np.flatnonzero(known))
    there = wanted.take(np.array([places[one] for one in here.ids], np.int64))
    same = np.abs(here.rows - there.rows) <= TOLERANCE  # NaN is never the same
    return Counter(
        missing=len(wanted) - len(here),
        surplus=len(found) - len(here),
        row=int((~same.all(axis=1)).sum()),
        stay=int((_bytes(here.stays) != _bytes(there.stays)).any(axis=1).sum()),
        texts=sum(one != other for one, other in zip(here.texts, there.texts, strict=True)),
    )


def _bytes(stays: NDArray[np.void]) -> NDArray[np.uint8]:
    """uint8 [N, B]: what is not a number is compared, too."""
    return np.ascontiguousarray(stays).view(np.uint8).reshape(len(stays), stays.itemsize)


def _agrees(settings: Settings, found: Sound, read: Partition) -> bool:
    """As a worker sees it when it restores; the group's offsets may have expired."""
    if found.mark is None:
        return read.committed is None and not len(found.patients)
    if read.committed is None or found.mark.next_offset == read.committed:
        return True
    return settings.processing_guarantee == "at_least_once" and found.mark.next_offset > read.committed


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
    return {one: (begins[one], ends[one]) for one in numbers}


def _settled(found: Sound, exactly_once: bool, faults: Counter[str]) -> Sound:
    """Without those whose last event is not yet part of the partition's progress. Only where an epoch is no
    transaction may there be such."""
    if found.mark is None:
        return found
    ahead = found.patients.stays["next_offset"] > found.mark.next_offset
    faults["ahead"] += int(ahead.sum()) if exactly_once else 0
    ended = {one for one, end in found.ended.items() if end.next_offset > found.mark.next_offset}
    faults["ahead"] += len(ended) if exactly_once else 0
    ids = found.ids | ended | {found.patients.ids[place] for place in np.flatnonzero(ahead).tolist()}
    return replace(found, patients=found.patients.take(np.flatnonzero(~ahead)), ids=frozenset(ids))


def _replayable(
    found: Mapping[int, Sound], bounds: Mapping[int, tuple[int, int]], faults: Counter[str]
) -> dict[int, int]:
    """Up to where to replay each partition of which that can be done."""
    ends = {}
    for one, (begin, end) in bounds.items():
        if (mark := found[one].mark) is None:
            continue
        retained = begin <= mark.next_offset <= end
        faults["gap"] += not retained
        if retained and begin == 0:
            ends[one] = mark.next_offset
    return ends


def _compare_with_replay(
    settings: Settings,
    model: RiskModel,
    found: Mapping[int, Sound],
    ends: dict[int, int],
    imported: States | None,
    faults: Counter[str],
) -> dict[int, int]:
    """How many records of each partition were replayed."""
    rerun = Rerun(settings, model)
    if imported is not None:
        begun = imported.placed(dict.fromkeys(found, 0))
        for one in ends:
            rerun.install(one, begun.of(one), begun.marks[one].stream_time)
    counts = replay(settings, rerun, ends)
    for one, wanted in rerun.states(list(ends)).items():
        now = rerun.stream_time(one)
        mark = found[one].mark
        faults["stream_time"] += mark is not None and mark.stream_time != now
        faults.update(
            compare(
                _still_there(found[one].patients, now, frozenset()),
                _still_there(wanted, now, found[one].ids),
            )
        )
    return counts


def _still_there(patients: Patients, now: int, without: frozenset[bytes]) -> Patients:
    """Those whose stay has not expired: when a worker clears the others away is its own affair."""
    left: NDArray[np.bool_] = ~expired(patients.stays, now)
    left &= np.array([one not in without for one in patients.ids], np.bool_)
    return patients.take(np.flatnonzero(left))
