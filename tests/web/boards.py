"""Records as a consumer would have polled them."""

import json

import numpy as np

from stream.records import Records
from tests.scores import risk_score

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
    """offset: of its event. where: encounter_id, unit, bed."""
    at = START + round(minute * MINUTE)
    made = risk_score(patient, at, risk, news2=news2, complete=complete, stale=list(stale), **state)
    said = made.model_dump(exclude_none=True) | (where or {})
    said["source"]["offset"] = offset
    if closed:
        said["state"]["closed"] = True
    return patient.encode(), json.dumps(said).encode(), at


def event(kind, patient, minute=0.0, **said):
    at = START + round(minute * MINUTE)
    value = {"type": kind, "patient_id": patient, "observed_at": at} | said
    return patient.encode(), json.dumps(value).encode(), at


def observation(patient, minute=0.0, key=None, **values):
    own, value, at = event("observation", patient, minute, values=values)
    return own if key is None else key, value, at
