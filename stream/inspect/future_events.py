"""What a worker refused because it was ahead of its clock: a later clock would take it."""

from __future__ import annotations

from contextlib import closing

from stream.columns.events import Code
from stream.columns.records import ERROR_PREFIX, Headers
from stream.inspect.changelog import to_ends
from stream.kafka.clients import make_source
from stream.settings import Settings
from stream.state.replica import EARLIEST


def refused_as_future(settings: Settings) -> set[tuple[int, int]]:
    """Partition and offset in the input of what was refused as `Code.FUTURE`, as far as the dead letters are
    retained. Raises `BrokerError`."""
    refused: set[tuple[int, int]] = set()
    with closing(make_source(settings, with_headers=True, to_end=True)) as source:
        if not (count := source.partition_count(settings.dead_letters_topic)):
            return refused
        source.assign(settings.dead_letters_topic, dict.fromkeys(range(count), EARLIEST))
        for records in to_ends(source):
            refused |= {
                place for header in records.headers or [] if (place := _future_place(settings, header))
            }
            if len(source.ended()) == count:
                return refused
    return refused


def _future_place(settings: Settings, headers: Headers) -> tuple[int, int] | None:
    by_name = dict(headers)
    wanted = Code.FUTURE.encode(), settings.observations_topic.encode()
    if (by_name.get(ERROR_PREFIX + "code"), by_name.get(ERROR_PREFIX + "topic")) != wanted:
        return None
    try:
        return int(by_name[ERROR_PREFIX + "partition"] or b""), int(by_name[ERROR_PREFIX + "offset"] or b"")
    except (KeyError, ValueError):
        return None
