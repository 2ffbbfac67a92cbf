"""Refused records as dead letters: the original bytes and key, the reason in headers."""

from __future__ import annotations

from stream.records import Code, Headers, Outgoing, Refused

PREFIX = "vitalstream.error."


def encode(refused: Refused, topic: str, at: int, max_bytes: int) -> Outgoing:
    """One dead letter a refused record, to the partition that it came from. at: ms since the Unix epoch.

    Headers hold code, stage, topic, partition, offset and time; never an id or a value. A record whose key
    and value are more than `max_bytes` together, which the topic might not take, goes without its value, and
    one whose key alone is, without its key too; the header `value_bytes` then tells the value's size.
    """
    records = refused.records
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    headers: list[Headers] = []
    for row, code in zip(refused.rows, refused.codes, strict=True):
        value, key = records.values[row], records.keys[row]
        header = _headers(refused, row, code, at)
        if _size(value) + _size(key) > max_bytes:
            header.append((PREFIX + "value_bytes", str(_size(value)).encode()))
            value, key = None, None if _size(key) > max_bytes else key
        values.append(value)
        keys.append(key)
        headers.append(header)
    return Outgoing(topic, values, keys, records.partitions[list(refused.rows)], headers=headers)


def _size(field: bytes | None) -> int:
    return len(field or b"")


def _headers(refused: Refused, row: int, code: Code, at: int) -> Headers:
    records = refused.records
    fields = {
        "code": code,
        "stage": refused.stage,
        "topic": records.topic,
        "partition": int(records.partitions[row]),
        "offset": int(records.offsets[row]),
        "at": at,
    }
    return [(PREFIX + name, str(value).encode()) for name, value in fields.items()]
