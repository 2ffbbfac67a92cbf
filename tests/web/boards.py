"""Records as a consumer would have polled them."""

import json

import numpy as np

from stream.records import Records
from tests.scores import risk_score

START = 1_700_000_000_000
MINUTE = 60_000


def records(*pairs):
    """pairs: (key, value, timestamp)."""
    keys, values, timestamps = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Records(
        topic="t",
        values=list(values),
        keys=list(keys),
        partitions=np.zeros(len(keys), np.int32),
        offsets=np.arange(len(keys), dtype=np.int64),
        timestamps=np.array(timestamps, np.int64),
    )


def score(patient, risk, minute=0.0, news2=3, complete=True, stale=(), **state):
    at = START + round(minute * MINUTE)
    value = risk_score(patient, at, risk, news2=news2, complete=complete, stale=list(stale), **state)
    return patient.encode(), value.model_dump_json(exclude_none=True).encode(), at


def observation(patient, minute=0.0, key=None, **values):
    at = START + round(minute * MINUTE)
    event = {"type": "observation", "patient_id": patient, "observed_at": at, "values": values}
    return patient.encode() if key is None else key, json.dumps(event).encode(), at
