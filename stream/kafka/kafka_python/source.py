"""The source over kafka-python: pure Python, for machines without librdkafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.structs import MemberState

from stream.columns.records import HeaderColumn, Headers, Records
from stream.connection import Connection
from stream.errors import CommitError, GapError, SettingsError
from stream.kafka.kafka_python.callbacks import Handover
from stream.kafka.kafka_python.common import Contact, configuration, create, not_done
from stream.kafka.source import EARLIEST, END, HEARTBEAT_MS, RebalanceListener, await_topic

Result = TypeVar("Result")

REQUEST_TIMEOUT_MS = 10_000
REBALANCE_STEP_MS = 100
REBALANCE_TIMEOUT_S = 10.0


class KafkaPythonSource:
    """A `Source`. Offsets and ends are those of `read_committed`: up to the first open transaction.

    group_id, instance_id, auto_offset_reset, to_end: as for `LibrdkafkaSource`. Creating it connects, and
    raises `BrokerUnavailable`.

    While the group rebalances kafka-python neither fetches nor commits: a `poll` that owns partitions
    then returns only after the rebalance, or after ten seconds.
    """

    def __init__(
        self,
        connection: Connection,
        group_id: str | None = None,
        *,
        instance_id: str | None = None,
        with_headers: bool = False,
        auto_offset_reset: str = "earliest",
        to_end: bool = False,
    ) -> None:
        settings = configuration(
            connection,
            {
                "group_id": group_id,
                "group_instance_id": instance_id,
                "auto_offset_reset": "none" if auto_offset_reset == "error" else auto_offset_reset,
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "allow_auto_create_topics": False,
                "partition_assignment_strategy": [CooperativeStickyAssignor],
                "heartbeat_interval_ms": HEARTBEAT_MS,
                "metrics_enabled": False,
            },
        )
        self._contact = Contact()
        self._consumer: KafkaConsumer = create(KafkaConsumer, settings, self._contact)
        self._handover = Handover(self._consumer._net.call_soon_threadsafe)
        self._group_id = group_id
        self._with_headers = with_headers
        self._topic = ""
        self._owned: set[int] = set()
        self._held: set[int] = set()
        self._closed = False

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        if self._group_id is None:
            raise SettingsError("subscribing needs a consumer group")
        self._topic = topic
        await_topic(self, topic)
        hold = self.hold if held else None
        self._consumer.subscribe([topic], listener=_Listener(self._handover, self._owned, listener, hold))

    def hold(self, partitions: Sequence[int]) -> None:
        self._held.update(partitions)
        self.pause(partitions)
        for where in self._coordinates(partitions):  # for a paused one without position `poll` may raise
            self._consumer.seek(where, 0)

    def start(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
        self._held.difference_update(offsets)
        self.resume(list(offsets))

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        self._topic = topic
        self._owned, self._held = set(offsets), set()
        self._consumer.assign(self._coordinates(offsets))
        for partition, offset in offsets.items():
            where = TopicPartition(topic, partition)
            if offset == EARLIEST:
                self._consumer.seek_to_beginning(where)
            elif offset == END:
                self._consumer.seek_to_end(where)
            else:
                self._consumer.seek(where, offset)

    def poll(self, max_records: int, timeout: float) -> Records:
        self._contact.check()
        polled = self._poll(max_records, int(timeout * 1000))
        deadline = time.monotonic() + REBALANCE_TIMEOUT_S
        while self._rebalances() and not polled and time.monotonic() < deadline:
            polled = self._poll(max_records, REBALANCE_STEP_MS)
        return self._records([record for batch in polled.values() for record in batch])

    def pause(self, partitions: Sequence[int]) -> None:
        self._consumer.pause(*self._coordinates(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        self._consumer.resume(*self._coordinates(partitions))

    def assignment(self) -> list[int]:
        return sorted(self._owned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self._group_id is None:
            raise CommitError("committing needs a consumer group")
        if foreign := sorted(offsets.keys() - self._owned):
            raise CommitError(f"{self._topic}: partitions {foreign} are not owned")
        wanted = {at: OffsetAndMetadata(offsets[at.partition]) for at in self._coordinates(offsets)}
        try:
            self._consumer.commit(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
        except KafkaError as error:
            doing = f"committing offsets of {self._topic}{self._in_group()}"
            raise not_done(error, doing, CommitError) from error

    def group_metadata(self) -> Any:
        """Raises `CommitError` if the group has removed this member: without a generation the broker would
        take its offsets unchecked."""
        metadata = self._consumer.group_metadata()
        if metadata.generation_id < 0 or not metadata.member_id:
            raise CommitError(f"the group {self._group_id} has removed this member")
        return metadata

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        if self._group_id is None:
            raise SettingsError("committed offsets need a consumer group")
        offsets = {
            where.partition: self._request(self._consumer.committed, where)
            for where in self._coordinates(partitions)
        }
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    def lag(self) -> dict[int, int]:
        """By the consumer's own positions, which step over the markers of transactions, unlike those of the
        records. Its `position` would ask the broker."""
        known = self._consumer._subscription.assignment
        lags = {}
        for partition in self._owned - self._held:
            state = known.get(TopicPartition(self._topic, partition))
            if state is not None and state.position is not None and state.highwater is not None:
                lags[partition] = max(state.highwater - state.position.offset, 0)
        return lags

    def ended(self) -> set[int]:
        ends = self.end_offsets(self.assignment())
        positions = [self._request(self._consumer.position, at) for at in self._coordinates(ends)]
        pairs = zip(ends.items(), positions, strict=True)
        return {partition for (partition, end), at in pairs if at is not None and at >= end}

    def partition_count(self, topic: str) -> int:
        try:
            return len(self._consumer.partitions_for_topic(topic) or ())
        except KafkaError as error:
            raise self._contact.translated(error, f"asking about {topic}") from error

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._bounds(self._consumer.beginning_offsets, partitions)

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._bounds(self._consumer.end_offsets, partitions)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._blocking(partial(self._consumer.close, autocommit=False, timeout_ms=REQUEST_TIMEOUT_MS))
        finally:
            self._handover.close()

    def _poll(self, max_records: int, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        fetcher = self._consumer._fetcher
        if not fetcher._next_partition_records:
            # kafka-python 3.0.12 gives a resumed partition its set-aside records back only if this is
            # None, but leaves the used-up records of another one in it: the partition would stall.
            fetcher._next_partition_records = None
        return self._blocking(partial(self._consumer.poll, timeout_ms=timeout_ms, max_records=max_records))

    def _rebalances(self) -> bool:
        """Whether this member of the group, which owns partitions, is rejoining.

        kafka-python drops a rejoin triggered by new metadata as soon as the leader has assigned using that
        metadata: it would never take the answer, nor commit, nor send a heartbeat. Requested again, the
        rejoin finishes.
        """
        if self._consumer.group_metadata().state is not MemberState.REBALANCING:
            return False
        if not self._consumer._coordinator.need_rejoin():
            self._consumer._coordinator.request_rejoin()
        return bool(self._owned)

    def _in_group(self) -> str:
        return f" in the group {self._group_id}" if self._group_id else ""

    def _coordinates(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]

    def _request(self, ask: Callable[..., Result], about: object) -> Result:
        try:
            return ask(about, timeout_ms=REQUEST_TIMEOUT_MS)
        except KafkaError as error:
            raise self._contact.translated(
                error, f"reading offsets of {self._topic}{self._in_group()}"
            ) from error

    def _bounds(self, ask: Callable[..., dict[Any, int]], partitions: Sequence[int]) -> dict[int, int]:
        offsets = self._request(ask, self._coordinates(partitions))
        return {place.partition: offset for place, offset in offsets.items()}

    def _blocking(self, call: Callable[[], Result]) -> Result:
        try:
            return self._handover.run(call)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise GapError(self._topic) from error
        except KafkaError as error:
            raise self._contact.translated(error, f"reading {self._topic}{self._in_group()}") from error

    def _records(self, records: list[Any]) -> Records:
        rows = len(records)
        return Records(
            self._topic,
            [record.value for record in records],
            [record.key for record in records],
            np.fromiter([record.partition for record in records], np.int32, rows),
            np.fromiter([record.offset for record in records], np.int64, rows),
            np.fromiter([record.timestamp for record in records], np.int64, rows),
            HeaderColumn(records, _headers) if self._with_headers else None,
        )


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps `owned` and calls `listener`, both on the thread inside `poll` or `close`."""

    def __init__(
        self,
        handover: Handover,
        owned: set[int],
        listener: RebalanceListener,
        hold: Callable[[Sequence[int]], None] | None,
    ) -> None:
        self._handover, self._owned, self._listener = handover, owned, listener
        self._hold = hold

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        numbers = _numbers(assigned)

        def tell() -> None:
            self._owned.update(numbers)
            if self._hold:
                self._hold(numbers)
            self._listener.on_assigned(numbers)

        await self._handover.ask(tell)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._take(self._listener.on_revoked, _numbers(revoked))

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        await self._take(self._listener.on_lost, _numbers(lost))

    async def _take(self, tell: Callable[[Sequence[int]], None], numbers: list[int]) -> None:
        def take() -> None:
            try:
                tell(numbers)
            finally:
                self._owned.difference_update(numbers)

        if numbers:
            await self._handover.ask(take)


def _numbers(partitions: Iterable[TopicPartition]) -> list[int]:
    return sorted(where.partition for where in partitions)


def _headers(record: Any) -> Headers:
    return list(record.headers)
