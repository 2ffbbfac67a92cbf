"""Records as a consumer would have polled them."""

import json

import numpy as np

from stream.contracts import RiskScore
from stream.records import Records

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


def score(patient, risk, minute=0.0, news2=3, complete=True, stale=(), warm=True, late=False, events=20):
    at = START + round(minute * MINUTE)
    value = RiskScore(
        id=f"{patient}/{at}",
        patient_id=patient,
        observed_at=at,
        scored_at=at,
        risk=risk,
        target="in_hospital_death",
        model={"name": "gru-64", "hash": "0" * 64},
        state={"events": events, "warm": warm, "confidence": 1.0, "late": late, "stale": list(stale)},
        news2={"score": news2, "complete": complete},
        source={"topic": "t", "partition": 0, "offset": 0},
    )
    return patient.encode(), value.model_dump_json(exclude_none=True).encode(), at


def observation(patient, minute=0.0, key=None, **values):
    at = START + round(minute * MINUTE)
    event = {"type": "observation", "patient_id": patient, "observed_at": at, "values": values}
    return patient.encode() if key is None else key, json.dumps(event).encode(), at
