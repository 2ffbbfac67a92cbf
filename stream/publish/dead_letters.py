"""Refused records as dead letters: the original bytes and key, the reason in headers."""

from __future__ import annotations

from stream.records import Headers, Outgoing, Refused

PREFIX = "vitalstream.error."


def encode(refused: Refused, topic: str, at: int) -> Outgoing:
    """One dead letter a refused record, to the partition that it came from. at: ms since the Unix epoch.

    Headers hold code, stage, topic, partition, offset and time; never an id or a value.
    """
    records = refused.records
    return Outgoing(
        topic,
        [records.values[row] for row in refused.rows],
        [records.keys[row] for row in refused.rows],
        records.partitions[list(refused.rows)],
        headers=[_headers(refused, index, at) for index in range(len(refused))],
    )


def _headers(refused: Refused, index: int, at: int) -> Headers:
    records, row = refused.records, refused.rows[index]
    fields = {
        "code": refused.codes[index],
        "stage": refused.stage,
        "topic": records.topic,
        "partition": int(records.partitions[row]),
        "offset": int(records.offsets[row]),
        "at": at,
    }
    return [(PREFIX + name, str(value).encode()) for name, value in fields.items()]
