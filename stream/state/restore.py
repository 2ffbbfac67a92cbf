"""Restorer: reads the state of newly assigned partitions from the changelog, on a thread of its own.

    requested ──read to the end──▶ complete? ──▶ checked against retention ──▶ restored
                                    │ no: read on, at most `patience` seconds
                                    ▼
                                  GapError

Complete means: the partition's checkpoint in the changelog equals the group's committed offset. The markers
of one transaction reach partitions at different moments, so the one can be visible before the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np

from stream.background import RESTORE, raise_failure, spawn
from stream.errors import BrokerUnavailable, GapError, TopicError
from stream.failpoints import reach
from stream.state.changelog import Changelog, End, Patients
from stream.state.gaps import Place, next_place, retained
from stream.state.replica import POLL_RECORDS, POLL_S, Reader, Replica, fold, read_on
from stream.state.standby import Standby

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.02
RETRY_S = 0.2
ATTEMPT_S = 60.0
"""More than a client takes to find that no broker answers."""
ASK_BROKER_S = 5.0


class RestoringReader(Reader, Protocol):
    """What is needed of a source made `to_end`, with the group's id."""

    def ended(self) -> set[int]: ...
    def committed(self, partitions: Sequence[int]) -> dict[int, int]: ...
    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]: ...


@dataclass(frozen=True, slots=True, repr=False)
class Restored:
    """A partition's state, and the place in the input at which to go on. ended: stays whose tombstones are
    missing; their offsets, as those in `patients`, are of the log that the place is in. resumed: whether the
    state or the group says how far the partition was read. committed: whether the group's offset is the
    place's, and of the same log. partitions: how many the input has."""

    partition: int
    place: Place
    stream_time: int
    patients: Patients
    ended: Mapping[bytes, End]
    resumed: bool
    committed: bool
    partitions: int


@dataclass(frozen=True, slots=True)
class Rules:
    """exactly_once: the checkpoint must equal the committed offset; else it may be ahead. skip_gaps: go on if
    events or state are gone. patience: seconds until a checkpoint that differs is an error."""

    topic: str
    exactly_once: bool
    skip_gaps: bool
    patience: float


class Restorer:
    """make_reader: a source outside of group management that keeps track of ends, with the group's id, so
    that it knows committed offsets. standby: what it has of a partition need not be read again.

    waits_for: what restoring waits for, in words; empty if it reads."""

    def __init__(
        self,
        make_reader: Callable[[], RestoringReader],
        changelog: Changelog,
        rules: Rules,
        standby: Standby,
    ) -> None:
        self._make_reader, self._changelog, self._rules = make_reader, changelog, rules
        self._standby = standby
        self._partitions = 0
        self._requests: SimpleQueue[dict[int, int] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Restored]] = SimpleQueue()
        self._wanted: dict[int, int] = {}  # partition: number of its latest request
        self._number = 0
        self._serving: Future[None] | None = None
        self._due = self._looked = 0.0
        self.waits_for = ""

    def request(self, partitions: Iterable[int]) -> None:
        """Begin to restore these. Does not block. Raises the error that ended restoring, as `restored`."""
        if self._serving is not None:
            raise_failure(self._serving)
        self._number += 1
        asked = dict.fromkeys(partitions, self._number)
        self._advance()
        self._wanted |= asked
        self._requests.put(asked)
        if self._serving is None:
            self._serving = spawn(RESTORE, self._run)

    def forget(self, partitions: Iterable[int]) -> None:
        """These are no longer wanted."""
        for partition in partitions:
            self._wanted.pop(partition, None)

    def restored(self) -> list[Restored]:
        """What has become ready since this was called last. Does not block. Raises the error that ended
        restoring: `StateError`, `GapError`, `BrokerError`, `ThreadError`."""
        ready: list[Restored] = []
        while True:
            try:
                number, restored = self._done.get_nowait()
            except Empty:
                break
            if self._wanted.get(restored.partition) == number:
                del self._wanted[restored.partition]
                ready.append(restored)
        if self._serving is not None:
            raise_failure(self._serving)
        return ready

    @property
    def pending(self) -> list[int]:
        """Partitions that are being restored."""
        return sorted(self._wanted)

    @property
    def stalled(self) -> float:
        """Seconds since restoring should have got on; 0 if it does, or nothing is being restored. It gets on
        if it reads a record, hands a partition over, or finds what it has to wait for: see `waits_for`."""
        return max(time.monotonic() - self._due, 0.0) if self._wanted else 0.0

    def close(self) -> None:
        """End the thread as soon as it has come to the end of what it reads. Repeatable."""
        self._wanted.clear()
        self._requests.put(None)

    def _run(self) -> None:
        while (asked := self._requests.get()) is not None:
            self._serve(asked)

    def _serve(self, asked: dict[int, int]) -> None:
        """If the broker goes away, go on later from what was read."""
        replicas = {partition: Replica() for partition in asked} | self._standby.take(asked)
        while asked := self._still_wanted(asked):
            try:
                self._restore(asked, replicas)
            except BrokerUnavailable as error:
                log.warning("restoring waits for the broker: %s", error)
                self._advance(f"the broker: {error}", ATTEMPT_S)
                time.sleep(RETRY_S)

    def _advance(self, waits_for: str = "", more_within: float = 0.0) -> None:
        """Restoring gets on, and should again `more_within` seconds."""
        self._due, self.waits_for = time.monotonic() + more_within, waits_for

    def _still_wanted(self, asked: Mapping[int, int]) -> dict[int, int]:
        return {part: number for part, number in asked.items() if self._wanted.get(part) == number}

    def _restore(self, asked: dict[int, int], replicas: Mapping[int, Replica]) -> None:
        """Read all of `asked` at once; each is handed over, and taken out of it, when it is complete."""
        begun = time.monotonic()
        ended_at: dict[int, float] = {}
        asked_at = 0.0
        with closing(self._make_reader()) as changelog, closing(self._make_reader()) as reader:
            self._check_partitions(reader)
            self._advance()
            read_on(changelog, self._changelog.topic, {partition: replicas[partition] for partition in asked})
            reader.assign(self._rules.topic, {})
            while waiting := self._still_wanted(asked).keys():
                records = changelog.poll(POLL_RECORDS, POLL_S)
                fold(records, replicas)
                now, ended = time.monotonic(), sorted(waiting & changelog.ended())
                if len(records):
                    self._advance()
                if not ended:
                    self._look_for_broker(reader)
                if not ended or now - asked_at < ASK_AGAIN_S:
                    continue
                committed, asked_at = _committed(reader, ended), now
                if committed is None:
                    self._advance("the group's coordinator")
                    continue
                for partition in ended:
                    waited = now - ended_at.setdefault(partition, now)
                    restored = self._complete(
                        reader, partition, replicas[partition].latest, committed, waited
                    )
                    if restored is not None:
                        reach("restore.handover")
                        self._done.put((asked.pop(partition), restored))
                        self._advance()
                        log.info(
                            "restored: partition %d, %d patients, in %.2f s",
                            partition, len(restored.patients), time.monotonic() - begun,
                        )  # fmt: skip

    def _look_for_broker(self, reader: RestoringReader) -> None:
        """If nothing has come for a while, raise `BrokerUnavailable` if there is no broker: a poll of
        librdkafka does not say so."""
        now = time.monotonic()
        if self.stalled > ASK_BROKER_S and now - self._looked > ASK_BROKER_S:
            self._looked = now
            reader.partition_count(self._changelog.topic)

    def _complete(
        self,
        reader: RestoringReader,
        partition: int,
        latest: Mapping[bytes, bytes],
        committed: Mapping[int, int],
        waited: float,
    ) -> Restored | None:
        """The partition as it was read; None if it is to be read on."""
        rules, ids, checkpoint = self._rules, self._changelog.ids, self._changelog.checkpoint(latest)
        patient = waited < rules.patience
        place = next_place(
            checkpoint, committed.get(partition), ids, exactly_once=rules.exactly_once, patient=patient
        )
        if place is None:
            self._advance("the changelog to agree with what the group has committed")
            return None
        first, end = (ask([partition])[partition] for ask in (reader.beginning_offsets, reader.end_offsets))
        same_topic = checkpoint is not None and bool(ids.input) and checkpoint.ids.input == ids.input
        place = retained(place, first, end, same_topic=same_topic)
        if place.gap and not rules.skip_gaps:
            raise GapError(rules.topic, partition, place.gap)
        patients, ended = self._changelog.patients(latest), self._changelog.ended(latest)
        if place.rewound:
            patients, ended = _rewound(patients, ended, place.offset)
        resumed = checkpoint is not None or partition in committed
        agrees = committed.get(partition) == place.offset and not place.rewound
        stream_time = checkpoint.stream_time if checkpoint else 0
        return Restored(partition, place, stream_time, patients, ended, resumed, agrees, self._partitions)

    def _check_partitions(self, reader: RestoringReader) -> None:
        """A changed count would move patients away from their state."""
        inputs, states = map(reader.partition_count, (self._rules.topic, self._changelog.topic))
        if inputs != states:
            raise TopicError(_COUNTS.format(self._rules.topic, inputs, self._changelog.topic, states))
        self._partitions = inputs


def _rewound(
    patients: Patients, ended: Mapping[bytes, End], offset: int
) -> tuple[Patients, dict[bytes, End]]:
    """The same, to whom every event from `offset` on is new."""
    stays = patients.stays.copy()
    stays["next_offset"] = np.minimum(stays["next_offset"], offset)
    ends = {patient: end._replace(next_offset=min(end.next_offset, offset)) for patient, end in ended.items()}
    return replace(patients, stays=stays), ends


def _committed(reader: RestoringReader, partitions: Sequence[int]) -> dict[int, int] | None:
    """None if the group's coordinator is on the move: what was read of the changelog stays good."""
    try:
        return reader.committed(partitions)
    except BrokerUnavailable:
        return None


_COUNTS = (
    "{0} has {1} partitions and {2} has {3}: with different counts patients would be parted from their "
    "states. `vitalstream topics create` makes what is missing; else start under a new application_id"
)
