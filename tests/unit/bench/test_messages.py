"""The benchmarks send what a worker accepts: otherwise their tables mean nothing."""

from __future__ import annotations

import json

import numpy as np

from bench.load import OBSERVED_AT
from bench.messages import START_MS, observations
from stream.columns.records import Records
from stream.decode.decoder import Decoder


def test_messages_are_events_that_the_worker_accepts() -> None:
    pairs = list(observations(512, patients=100, seed=1))
    count = len(pairs)
    records = Records(
        "t",
        [value for _, value in pairs],
        [key for key, _ in pairs],
        np.zeros(count, np.int32),
        np.arange(count),
        np.zeros(count, np.int64),
    )
    decoded = Decoder(1_048_576, 300.0).decode(records)
    assert len(decoded.events) == count and not any(decoded.dropped.values())
    assert (np.isfinite(decoded.events.values).sum(axis=1) == 6).all()
    assert 130 < sum(map(len, records.values)) / count < 160
    times = [int(found[1]) for value in records.values if (found := OBSERVED_AT.search(value))]
    assert times == list(range(START_MS, START_MS + count))
    assert len({json.loads(value)["patient_id"] for value in records.values}) > 90
