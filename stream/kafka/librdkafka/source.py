"""The source over librdkafka: the hot path. Bytes go from librdkafka's queue into columns, a batch a call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import TopicMetadata

from stream.columns.records import Records
from stream.connection import Connection
from stream.errors import (
    BrokerError,
    BrokerUnavailable,
    CommitError,
    GapError,
    RefusalError,
    SettingsError,
)
from stream.kafka.librdkafka.commits import COMMIT_TIMEOUT_S, MAY_PASS, Commits
from stream.kafka.librdkafka.common import (
    Contact,
    configuration,
    create,
    is_missing,
    not_done,
    numbers,
    reason,
    translated,
)
from stream.kafka.librdkafka.messages import records
from stream.kafka.source import HEARTBEAT_MS, RebalanceListener, await_topic

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
SLICE_S = 2.0
REPORTS_S = 0.1
COMMIT_RETRY_S = 0.1
NO_GROUP = "vitalstream-no-group"


class LibrdkafkaSource:
    """A `Source`. Offsets and ends are those of `read_committed`: up to the first open transaction.

    group_id: the consumer group, or None for `assign` alone.
    instance_id: static membership: a restart within the session timeout keeps its partitions.
    auto_offset_reset: where a partition without a committed offset starts, and where reading continues
        when the offset is no longer retained: "earliest", "latest", or "error" (`poll` raises `GapError`).
    to_end: keep track of which partitions were read to their end.
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
        self._contact = Contact(fatal=True)
        settings = configuration(
            connection,
            {
                "group.id": group_id or NO_GROUP,
                "group.instance.id": instance_id,
                "auto.offset.reset": auto_offset_reset,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "heartbeat.interval.ms": HEARTBEAT_MS,
                "enable.partition.eof": to_end,
                "fetch.wait.max.ms": 10 if to_end else 500,
                "fetch.queue.backoff.ms": 10,  # by default a full queue, once emptied, waits a second
                "error_cb": self._contact,
            },
        )
        self._consumer = create(Consumer, settings)
        self._group_id = group_id
        self._with_headers = with_headers
        self._topic = ""
        self._to_end = to_end
        self._ended: set[int] = set()
        self._assigned: set[int] = set()
        self._reading: set[int] = set()
        self._left = False
        self._closed = self._subscribed = False
        self._revoking = False
        self._commits = Commits(self._consumer)

    def subscribe(self, topic: str, listener: RebalanceListener, *, held: bool = False) -> None:
        if self._group_id is None:
            raise SettingsError("subscribing needs a consumer group")
        self._topic = topic
        await_topic(self, topic)

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._read([] if held else partitions)
            self._assigned.update(numbers(partitions))
            listener.on_assigned(numbers(partitions))

        def gone(tell: Callable[[Sequence[int]], None]) -> Callable[[Consumer, list[TopicPartition]], None]:
            def callback(consumer: Consumer, partitions: list[TopicPartition]) -> None:
                self._revoking = True
                try:
                    tell(numbers(partitions))
                finally:
                    self._revoking = False
                    self._leave(numbers(partitions))
                    self._assigned.difference_update(numbers(partitions))

            return callback

        self._consumer.subscribe([topic], assigned, gone(listener.on_revoked), gone(listener.on_lost))
        self._subscribed = True

    def hold(self, partitions: Sequence[int]) -> None:
        self._leave(partitions)

    def start(self, offsets: Mapping[int, int]) -> None:
        self._read(self._coordinates(offsets, offsets))

    def assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        self._topic = topic
        self._assigned, self._reading = set(offsets), set(offsets)
        self._consumer.assign(self._coordinates(offsets, offsets))

    def poll(self, max_records: int, timeout: float) -> Records:
        self._left = False
        messages = self._consumer.consume(max_records, 0)
        if not messages and (first := self._consumer.poll(timeout)) is not None:
            messages = [first]
            if max_records > 1:
                messages += self._consumer.consume(max_records - 1, 0)
        self._contact.check()
        if self._to_end:
            self._note_ends(messages)
        if any(map(Message.error, messages)):
            messages = [message for message in messages if self._is_record(message)]
        if self._left:
            messages = [message for message in messages if message.partition() in self._reading]
        return records(self._topic, messages, with_headers=self._with_headers)

    def pause(self, partitions: Sequence[int]) -> None:
        self._consumer.pause(self._coordinates(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        self._consumer.resume(self._coordinates(partitions))

    def assignment(self) -> list[int]:
        return sorted(self._assigned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self._group_id is None:
            raise CommitError("committing needs a consumer group")
        if foreign := sorted(set(offsets) - self._assigned):
            raise CommitError(f"{self._topic}: partitions {foreign} are not owned")
        deadline, where = time.monotonic() + COMMIT_TIMEOUT_S, self._coordinates(offsets, offsets)
        while (error := self._commits.commit(where, at_once=self._revoking)) is not None:
            if error.code() not in MAY_PASS or time.monotonic() > deadline:
                raise not_done(error, f"committing offsets of {self._topic}{self._in_group()}", CommitError)
            time.sleep(COMMIT_RETRY_S)

    def group_metadata(self) -> Any:
        return self._consumer.consumer_group_metadata()

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        try:
            positions = self._consumer.committed(self._coordinates(partitions), timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise self._failed(
                error, f"reading committed offsets of {self._topic}{self._in_group()}"
            ) from error
        for position in positions:
            if position.error is not None:
                raise translated(
                    position.error,
                    f"reading the committed offset of {self._at(position)}{self._in_group()}",
                )
        return {position.partition: position.offset for position in positions if position.offset >= 0}

    def lag(self) -> dict[int, int]:
        lags = {}
        for position in self._consumer.position(self._coordinates(self._reading)):
            ends = self._consumer.get_watermark_offsets(position, cached=True)
            if ends is not None and ends[1] >= 0 and position.offset >= 0:
                lags[position.partition] = max(ends[1] - position.offset, 0)
        return lags

    def ended(self) -> set[int]:
        return self._ended

    def partition_count(self, topic: str) -> int:
        metadata = self._metadata(topic)
        if metadata.error is not None and not is_missing(metadata.error):
            raise translated(metadata.error, f"asking about {topic}")
        return len(metadata.partitions or ())

    def beginning_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return {partition: self._watermarks(partition)[0] for partition in partitions}

    def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return {partition: self._watermarks(partition)[1] for partition in partitions}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _metadata(self, topic: str) -> TopicMetadata:
        """In slices: a refusal that is known ends the waiting."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            left = deadline - time.monotonic()
            try:
                metadata: TopicMetadata = self._consumer.list_topics(
                    topic, timeout=min(left, SLICE_S)
                ).topics[topic]
                return metadata
            except KafkaException as error:
                failed = self._failed(error, f"asking about {topic}")
                if left <= SLICE_S or not isinstance(failed, BrokerUnavailable):
                    raise failed from error

    def _failed(self, error: KafkaException, doing: str) -> BrokerError:
        """What the connections report comes in `poll`; but as soon as it may, a poll also returns records and
        runs callbacks."""
        if not (self._assigned or self._subscribed):
            report = self._consumer.poll(REPORTS_S)
            if report is not None and (reported := report.error()) is not None:
                failure = translated(reported, doing)
                if isinstance(failure, RefusalError):
                    return failure
        return self._contact.translated(reason(error), doing)

    def _in_group(self) -> str:
        return f" in the group {self._group_id}" if self._group_id else ""

    def _at(self, where: TopicPartition) -> str:
        return f"{self._topic}/{where.partition}"

    def _coordinates(
        self, partitions: Iterable[int], offsets: Mapping[int, int] | None = None
    ) -> list[TopicPartition]:
        if offsets is None:
            return [TopicPartition(self._topic, partition) for partition in partitions]
        return [TopicPartition(self._topic, partition, offsets[partition]) for partition in partitions]

    def _watermarks(self, partition: int) -> tuple[int, int]:
        where = TopicPartition(self._topic, partition)
        try:
            ends = self._consumer.get_watermark_offsets(where, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise self._failed(error, f"reading offsets of {self._at(where)}") from error
        if ends is None:
            raise BrokerUnavailable(f"{self._topic}/{partition}: its offsets did not come in time")
        return ends

    def _note_ends(self, messages: list[Message]) -> None:
        for message in messages:
            error, partition = message.error(), cast("int", message.partition())
            if error is None:
                self._ended.discard(partition)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended.add(partition)

    def _read(self, partitions: list[TopicPartition]) -> None:
        """Begin to fetch these. Those that the group assigned and that are held, librdkafka does not know
        of: a paused one would take up to a second to resume."""
        self._consumer.incremental_assign(partitions)
        self._reading.update(numbers(partitions))

    def _leave(self, partitions: Sequence[int]) -> None:
        read = self._reading.intersection(partitions)
        self._consumer.incremental_unassign(self._coordinates(read))
        self._reading -= read
        self._left = self._left or bool(read)

    def _is_record(self, message: Message) -> bool:
        """Raises if the message is an error, unless a rebalance will fix it."""
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            return False
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise GapError(self._topic, message.partition())
        if error.code() != KafkaError._MAX_POLL_EXCEEDED:
            raise translated(error, f"reading {self._topic}{self._in_group()}")
        log.warning("the worker polled too rarely: the group has assigned its partitions to other members")
        return False
