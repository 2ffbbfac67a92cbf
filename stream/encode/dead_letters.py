"""Refused records as dead letters: the original bytes, key, time and headers, and the reason."""

from __future__ import annotations

import numpy as np

from stream.columns.events import Code, Refused
from stream.columns.records import ERROR_PREFIX, Headers, Outgoing

FRAME_BYTES = 4
"""A header takes about so many more than its name and value: the lengths of both come with them."""


def encode(refused: Refused, topic: str, at: int, max_bytes: int) -> Outgoing:
    """One dead letter a refused record, to the partition that it came from, of the record's own time, or of
    `at` if that is earlier: the broker refuses what is ahead of its clock. at: ms since the Unix epoch.

    The record's own headers come first. Those added hold code, stage, topic, partition, offset and time;
    never an id or a value. What the topic might not take, more than `max_bytes` of value, key and headers,
    goes without its value, then without its own headers, then without its key; the header `value_bytes` then
    gives the value's size.
    """
    records = refused.records
    rows = list(refused.rows)
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    headers: list[Headers] = []
    for row, code in zip(rows, refused.codes, strict=True):
        value, key = records.values[row], records.keys[row]
        own = records.headers[row] if records.headers is not None else []
        added = _headers(refused, row, code, at)
        beside = _size(key) + sum(len(name.encode()) + _size(text) + FRAME_BYTES for name, text in own)
        if _size(value) + beside > max_bytes:
            added.append((ERROR_PREFIX + "value_bytes", str(_size(value)).encode()))
            value, own = None, own if beside <= max_bytes else []
            key = key if _size(key) <= max_bytes else None
        values.append(value)
        keys.append(key)
        headers.append(own + added)
    times = np.minimum(records.timestamps[rows], at)
    return Outgoing(topic, values, keys, records.partitions[rows], times, headers)


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
    return [(ERROR_PREFIX + name, str(value).encode()) for name, value in fields.items()]
