"""Messages of librdkafka as columns."""

from __future__ import annotations

from contextlib import suppress
from typing import cast

import numpy as np
from confluent_kafka import Message

from stream.columns.records import HeaderColumn, Headers, Records


def records(topic: str, messages: list[Message], *, with_headers: bool) -> Records:
    """The messages, none of which is an error, of one topic."""
    rows = len(messages)
    return Records(
        topic,
        [message.value() for message in messages],
        [message.key() for message in messages],
        np.fromiter([message.partition() for message in messages], np.int32, rows),
        np.fromiter([message.offset() for message in messages], np.int64, rows),
        np.fromiter([message.timestamp()[1] for message in messages], np.int64, rows),
        HeaderColumn(messages, _headers) if with_headers else None,
    )


def _headers(message: Message) -> Headers:
    """None of them if the name of one is no UTF-8: the client then reads none."""
    with suppress(UnicodeDecodeError, SystemError):
        return cast("Headers", message.headers() or [])
    return []
