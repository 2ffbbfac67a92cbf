"""The source over kafka-python, without a broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.consumer.group import ConsumerGroupMetadata

from stream.errors import CommitError
from stream.kafka.kafka_python.source import KafkaPythonSource


def test_who_was_removed_from_the_group_commits_nothing_in_a_transaction() -> None:
    """Without a generation the broker would not check whose offsets they are."""
    source = object.__new__(KafkaPythonSource)
    source._group_id = "ward"
    removed = SimpleNamespace(group_metadata=lambda: ConsumerGroupMetadata("ward"))
    source._consumer = removed  # type: ignore[assignment]
    with pytest.raises(CommitError):
        source.group_metadata()
