"""Records as a consumer would have polled them."""

import json

import numpy as np

from stream.columns.records import ERROR_PREFIX, HeaderColumn, Records
from tests.support.scores import risk_score

INPUT = b"vitals.observations.v1"
START = 1_700_000_000_000
MINUTE = 60_000


def records(*pairs, offset=0):
    """pairs: (key, value, timestamp), from this offset of partition 0 on."""
    keys, values, timestamps = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Records(
        topic="t",
        values=list(values),
        keys=list(keys),
        partitions=np.zeros(len(keys), np.int32),
        offsets=np.arange(offset, offset + len(keys), dtype=np.int64),
        timestamps=np.array(timestamps, np.int64),
    )


def score(
    patient,
    risk,
    minute=0.0,
    news2=3,
    complete=True,
    stale=(),
    *,
    offset=0,
    closed=False,
    where=None,
    **state,
):
    """offset: of its event. closed: None where an old worker does not say it. where: encounter_id, unit,
    bed."""
    at = START + round(minute * MINUTE)
    made = risk_score(patient, at, risk, news2=news2, complete=complete, stale=list(stale), **state)
    said = made.model_dump(exclude_none=True) | (where or {})
    said["source"]["offset"] = offset
    said["state"]["closed"] = closed
    if closed is None:
        del said["state"]["closed"]
    return patient.encode(), json.dumps(said).encode(), at


def event(kind, patient, minute=0.0, **said):
    at = START + round(minute * MINUTE)
    value = {"type": kind, "patient_id": patient, "observed_at": at} | said
    return patient.encode(), json.dumps(value).encode(), at


def observation(patient, minute=0.0, key=None, **values):
    own, value, at = event("observation", patient, minute, values=values)
    return own if key is None else key, value, at


def dead_letters(*refused, topic=INPUT, partition=0):
    """refused: key and offset in the input of each refused event."""
    said = ((topic, str(partition).encode(), str(offset).encode()) for _, offset in refused)
    names = [ERROR_PREFIX + name for name in ("topic", "partition", "offset")]
    return with_headers([key for key, _ in refused], [list(zip(names, one, strict=True)) for one in said])


def with_headers(keys, headers):
    """headers: of each record."""
    count = len(keys)
    return Records(
        topic="d",
        values=[b"{}"] * count,
        keys=keys,
        partitions=np.zeros(count, np.int32),
        offsets=np.arange(count, dtype=np.int64),
        timestamps=np.zeros(count, np.int64),
        headers=HeaderColumn(headers, list),
    )
