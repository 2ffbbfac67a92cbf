"""The topics that vitalstream reads and writes: what they should be, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka.partitioner.default import murmur2

from stream.admin.admin import BROKERS_DEFAULT, Admin, TopicSpec, missing

WEEK_MS = 7 * 24 * 60 * 60 * 1000
# A refused record goes to the dead letters whole, with headers added: more than an input may hold.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# A changelog's last segment is never compacted, and read whole on every restore.
CHANGELOG_SEGMENT_BYTES = 64 * 1024 * 1024
AT_LEAST = {"retention.ms", "max.message.bytes"}
AT_MOST = {"segment.bytes"}
UNLIMITED = -1


def specs(
    *,
    observations: str,
    scores: str,
    alerts: str,
    dead_letters: str,
    changelog: str,
    partitions: int,
    replication_factor: int = BROKERS_DEFAULT,
) -> list[TopicSpec]:
    """The five topics. All have the same number of partitions: a patient is in the same one of each."""
    kept = {"cleanup.policy": "delete", "retention.ms": str(WEEK_MS)}
    settings = {
        observations: kept,
        scores: kept,
        alerts: kept,
        dead_letters: kept | {"max.message.bytes": str(DEAD_LETTER_BYTES)},
        changelog: {"cleanup.policy": "compact", "segment.bytes": str(CHANGELOG_SEGMENT_BYTES)},
    }
    return [TopicSpec(name, partitions, replication_factor, config) for name, config in settings.items()]


def check(admin: Admin, specs: Sequence[TopicSpec]) -> list[str]:
    """A sentence for each thing that is not as wanted; empty if all is. Blocks; raises `BrokerError`."""
    found = admin.topics([spec.name for spec in specs])
    configs = admin.configs(list(found))
    complaints = []
    for spec in specs:
        if spec.name not in found:
            complaints.append(missing(spec.name))
        else:
            complaints += _complaints(spec, found[spec.name].partitions, configs[spec.name])
    return complaints


def partition_of(key: bytes, partitions: int) -> int:
    """Where the Java client sends a record of this key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _complaints(spec: TopicSpec, partitions: int, config: Mapping[str, str]) -> list[str]:
    complaints = []
    if partitions != spec.partitions:
        complaints.append(f"{spec.name} has {partitions} partitions, not {spec.partitions}")
    for name, wanted in spec.config.items():
        found = config[name]
        if name in AT_LEAST:
            if int(found) != UNLIMITED and int(found) < int(wanted):
                complaints.append(f"{spec.name}: {name} is {found}, less than {wanted}")
        elif name in AT_MOST:
            if int(found) > int(wanted):
                complaints.append(f"{spec.name}: {name} is {found}, more than {wanted}")
        elif set(found.split(",")) != set(wanted.split(",")):
            complaints.append(f"{spec.name}: {name} is {found}, not {wanted}")
    return complaints
