"""The topics that vitalstream reads and writes: what they should be, and what is not as it should be.

One check serves `run` at its start, `doctor` and `topics check`. What would lose events or states, or stop a
partition for good, is a fault, and `run` refuses it; what an operator may have meant is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kafka.partitioner.default import murmur2

from stream.errors import TopicError
from stream.kafka.admin import BROKERS_DEFAULT, Admin, Topic, TopicSpec, missing
from stream.settings import Settings

PARTITIONS = 4
WEEK_MS = 7 * 24 * 60 * 60 * 1000
# A refused record goes to the dead letters whole, with headers added: more than an input may hold.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# A changelog's last segment is never compacted, and read whole on every restore.
CHANGELOG_SEGMENT_BYTES = 64 * 1024 * 1024
SAFE_REPLICAS, SAFE_IN_SYNC = 3, 2
UNLIMITED = -1
NO_LIMIT_MS = 2**63 - 1
# The event's time is the record's own; the broker's is when it got the record.
EVENT_TIME, BROKER_TIME = "CreateTime", "LogAppendTime"
BEFORE = ("message.timestamp.before.max.ms", "message.timestamp.difference.max.ms")
AFTER = ("message.timestamp.after.max.ms", "message.timestamp.difference.max.ms")


class Fault(NamedTuple):
    """What is not as it should be, and the command that mends it. fatal: a worker must not start."""

    what: str
    mend: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


def specs(
    settings: Settings, partitions: int, replication_factor: int = BROKERS_DEFAULT, copies: int = 0
) -> list[TopicSpec]:
    """The five topics as the settings name them, all with the same number of partitions: a patient is in the
    same one of each. copies: how many replicas `BROKERS_DEFAULT` means, 0 if unknown."""
    copies = copies if replication_factor == BROKERS_DEFAULT else replication_factor
    in_sync = {"min.insync.replicas": str(SAFE_IN_SYNC)} if copies >= SAFE_REPLICAS else {}
    kept = {
        "cleanup.policy": "delete",
        "retention.ms": str(WEEK_MS),
        "message.timestamp.type": BROKER_TIME,
    } | in_sync
    configs = {
        settings.observations_topic: kept,
        settings.scores_topic: kept,
        settings.alerts_topic: kept,
        settings.dead_letters_topic: kept | {"max.message.bytes": str(DEAD_LETTER_BYTES)},
        settings.changelog_topic: in_sync
        | {"cleanup.policy": "compact", "segment.bytes": str(CHANGELOG_SEGMENT_BYTES)},
    }
    return [TopicSpec(name, partitions, replication_factor, config) for name, config in configs.items()]


def names(settings: Settings) -> list[str]:
    """The five topics."""
    return [spec.name for spec in specs(settings, PARTITIONS)]


def agreed_partitions(settings: Settings, admin: Admin, wanted: int | None) -> int:
    """How many partitions the missing topics get: as many as those that exist. Raises `TopicError` if these
    differ among themselves or from `wanted`, `BrokerError`."""
    counts_by_topic = {name: topic.partitions for name, topic in admin.topics(names(settings)).items()}
    counts = set(counts_by_topic.values()) | ({wanted} if wanted else set())
    if len(counts) > 1:
        stand = ", ".join(f"{name} has {count}" for name, count in counts_by_topic.items())
        asked = f", --partitions is {wanted}" if wanted else ""
        raise TopicError(
            f"{stand} partitions{asked}: all topics need the same number; nothing was created. Leave "
            "--partitions out, or choose other topic names"
        )
    return counts.pop() if counts else PARTITIONS


def examine(settings: Settings, admin: Admin) -> list[Fault]:
    """What is not as it should be; empty if all is. Blocks; raises `BrokerError`."""
    topics = admin.topics(names(settings))
    return list(faults(settings, topics, admin.configs(list(topics))))


def refuse(problems: list[Fault]) -> None:
    """Raise a `TopicError` that names what must not be, if anything is."""
    if fatal := [str(fault) for fault in problems if fault.fatal]:
        raise TopicError("; ".join(fatal))


def faults(
    settings: Settings, topics: Mapping[str, Topic], configs: Mapping[str, Mapping[str, str]]
) -> Iterator[Fault]:
    """topics, configs: those of the topics that exist. Pure."""
    given = topics.get(settings.observations_topic)
    for name in names(settings):
        if name not in topics:
            what, _, mend = missing(name).partition(": ")
            yield Fault(what, mend, True)
            continue
        if given is not None:
            yield from _counts(settings, name, topics[name].partitions, given.partitions)
        yield from _settings(settings, name, topics[name], configs[name])


def partition_of(key: bytes, partitions: int) -> int:
    """Where the Java client sends a record of this key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _counts(settings: Settings, name: str, count: int, wanted: int) -> Iterator[Fault]:
    if count == wanted:
        return
    what = f"{name} has {count} partitions, {settings.observations_topic} has {wanted}"
    if name == settings.changelog_topic:
        yield Fault(what, "patients would be separated from their states; use a new application_id", True)
    elif count < wanted:
        grow = f"--alter --topic {name} --partitions {wanted}"
        yield Fault(what, f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} {grow}", True)
    else:
        yield Fault(what, "make it again with as many", False)


def _settings(settings: Settings, name: str, topic: Topic, config: Mapping[str, str]) -> Iterator[Fault]:
    def fault(setting: str, wanted: str, why: str, fatal: bool) -> Fault:
        alter = f"--alter --entity-type topics --entity-name {name} --add-config {setting}={wanted}"
        return Fault(
            f"{name}: {setting} is {config.get(setting, 'not known')}, {why}",
            f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers} {alter}",
            fatal,
        )

    policy = set(config["cleanup.policy"].split(","))
    if topic.replication_factor >= SAFE_REPLICAS and int(config["min.insync.replicas"]) < SAFE_IN_SYNC:
        why = "so one broker that dies can take acknowledged records with it"
        yield fault("min.insync.replicas", str(SAFE_IN_SYNC), why, False)
    if name == settings.changelog_topic:
        if policy != {"compact"}:
            yield fault("cleanup.policy", "compact", "so states are deleted", True)
        if int(config["segment.bytes"]) > CHANGELOG_SEGMENT_BYTES:
            why = f"more than {CHANGELOG_SEGMENT_BYTES}, which every restore reads"
            yield fault("segment.bytes", str(CHANGELOG_SEGMENT_BYTES), why, False)
        return
    given = name == settings.observations_topic
    if policy != {"delete"}:
        yield fault("cleanup.policy", "delete", "so only the last record of each patient is kept", given)
    retention = int(config["retention.ms"])
    if UNLIMITED < retention < WEEK_MS:
        yield fault("retention.ms", str(WEEK_MS), "less than seven days", False)
    if name == settings.dead_letters_topic and int(config["max.message.bytes"]) < DEAD_LETTER_BYTES:
        why = "less than a refused record may need"
        yield fault("max.message.bytes", str(DEAD_LETTER_BYTES), why, False)
    if config["message.timestamp.type"] == BROKER_TIME:
        return
    before = min(int(config.get(setting, NO_LIMIT_MS)) for setting in BEFORE)
    after = min(int(config.get(setting, NO_LIMIT_MS)) for setting in AFTER)
    if not given and (before < NO_LIMIT_MS or after < settings.max_future * 1000):
        why = f"and {BEFORE[0]} is {before}, {AFTER[0]} {after}: the broker refuses scores of other times"
        yield fault("message.timestamp.type", BROKER_TIME, why, True)
    elif retention != UNLIMITED:
        why = "so records of old events are deleted soon after they were sent"
        yield fault("message.timestamp.type", BROKER_TIME, why, False)
