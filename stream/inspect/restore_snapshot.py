"""Writes states to an empty changelog: a worker then continues from them at its input's first offset."""

from __future__ import annotations

from contextlib import closing

from stream.commit.committer import Epoch
from stream.errors import StateError, TopicError
from stream.inspect.changelog import read_changelog
from stream.inspect.snapshot import States
from stream.kafka.admin import partition_count
from stream.kafka.clients import make_admin, make_source
from stream.settings import Settings
from stream.state.changelog import Changelog, Changes
from stream.worker.assembly import make_outputs

TIMEOUT_S = 300.0
"""All is one transaction, however many patients there are."""


def write_states(settings: Settings, changelog: Changelog, states: States) -> int:
    """Place and write them, each partition's progress at its input's first offset, and that offset committed
    for the group: in one transaction, or in that order if the guarantee is at_least_once. Returns the
    number of partitions. Raises `StateError` if anything is there already, `TopicError`, `BrokerError`."""
    numbers = range(_check_target(settings, changelog))
    with closing(make_source(settings, settings.application_id)) as group:
        group.assign(settings.observations_topic, {})
        begins = group.beginning_offsets(numbers)
        group.assign(settings.observations_topic, begins)
        placed = states.placed(begins)
        timeout = max(settings.transaction_timeout, TIMEOUT_S)
        sink, guarantee = make_outputs(settings.model_copy(update={"transaction_timeout": timeout}), group)
        with closing(sink):
            sink.reset()
            sink.send(changelog.encode([Changes(placed.patients, placed.partitions)], {}))
            sink.flush(TIMEOUT_S)
            guarantee.end_epoch(Epoch(lambda: changelog.encode([], placed.checkpoints), begins))
            guarantee.settle()
    return len(numbers)


def _check_target(settings: Settings, changelog: Changelog) -> int:
    """The number of partitions. Raises `TopicError` or `StateError` if the target is not ready and empty."""
    with closing(make_admin(settings)) as admin:
        partitions = partition_count(admin, settings.observations_topic)
        actual = partition_count(admin, changelog.topic)
        members = len(admin.group(settings.application_id).members)
    if actual != partitions:
        raise TopicError(
            f"{settings.observations_topic} has {partitions} partitions and {changelog.topic} has {actual}: "
            "patients would be separated from their states"
        )
    if members:
        raise StateError(f"the group {settings.application_id} has {members} members: stop its workers first")
    if any(each.latest for each in read_changelog(settings, changelog).values()):
        raise StateError(
            f"{changelog.topic} is not empty: import under an application_id that no worker had yet"
        )
    return partitions
