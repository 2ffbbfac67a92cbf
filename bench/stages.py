"""The worker's stages one by one, without Kafka: CPU µs an event.

The same messages as `bench.pipeline`, in micro-batches of 4,096, through the real stages with the shipped
model on the CPU. What is missing of a worker's CPU time is what its client costs: see `bench.clients`.

    python -m bench.stages [--events 400000]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from bench.measure import markdown, write
from bench.messages import START_MS, observations
from model.artifact import load
from stream.assess.news2 import SIGNS, VitalSigns
from stream.columns.records import Records
from stream.decode.decoder import Decoder
from stream.encode.scores import ScoreEncoder
from stream.settings import Settings
from stream.state.changelog import Changelog
from stream.state.store import StateStore
from stream.stays.record import VITALS
from stream.worker.assembly import make_stepping

BATCH = 4096
PARTITIONS = 4
PATIENTS = (50_000, 500)


def polled(events: int, patients: int) -> Iterator[Records]:
    pairs, offset = observations(events, patients), 0
    while rows := list(islice(pairs, BATCH)):
        keys = [key for key, _ in rows]
        offsets = np.arange(offset, offset + len(rows))
        partitions = np.array([int(key[1:]) % PARTITIONS for key in keys], np.int32)
        yield Records(
            "observations", [value for _, value in rows], [*keys], partitions, offsets, START_MS + offsets
        )
        offset += len(rows)


class Stopwatch:
    """CPU time of the process by stage, one list of times a stage."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = defaultdict(list)

    def __call__(self, stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.process_time()
        result = call(*arguments)
        self.taken[stage].append(time.process_time() - begin)
        return result


def measure(events: int, patients: int) -> dict[str, float]:
    settings = Settings()
    model = load(settings.model, torch.device("cpu"))
    store = StateStore(model.initial_state(), settings.initial_resident_patients, patients)
    stepping = make_stepping(settings, model, store)
    changelog = Changelog("changelog", model.hash, model.state_size)
    decoder, vitals = Decoder(settings.max_event_bytes, settings.max_future), VitalSigns(VITALS)
    encoder = ScoreEncoder(
        "scores",
        source="observations",
        model_name=model.name,
        model_hash=model.hash,
        target=model.target,
        signs=SIGNS,
        warm_up=settings.warm_up_events or model.warm_after,
        names=store.names,
    )
    watch = Stopwatch()
    for records in polled(events, patients):
        decoded = watch("decode", decoder.decode, records).events
        admission = watch("state: admit", stepping.admit, decoded)
        (outcome,) = watch("step, waves and stays included", stepping.step, admission)
        scores = outcome.scores
        assert len(scores) == len(records)
        assessment = watch("alert: NEWS2, stale signs", vitals.assess, scores.vitals, scores.ages)
        watch("publish: JSON", encoder.encode, scores, assessment, START_MS)
        watch("commit: changelog", lambda: changelog.encode(store.take_changes()[0], {}))
    return {
        stage: statistics.median(taken[len(taken) // 2 :]) / BATCH * 1e6
        for stage, taken in watch.taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=400_000)
    events = parser.parse_args().events // BATCH * BATCH
    torch.set_num_threads(1)
    costs = {patients: measure(events, patients) for patients in PATIENTS}
    stages = list(costs[PATIENTS[0]])
    rows = [(stage, *(f"{costs[patients][stage]:.2f}" for patients in PATIENTS)) for stage in stages]
    rows.append(("together", *(f"{sum(costs[patients].values()):.2f}" for patients in PATIENTS)))
    text = (
        f"Micro-batches of {BATCH}, medians over the second half of {events:,} events. CPU µs an event.\n\n"
    )
    text += markdown(["stage", *(f"{patients:,} patients" for patients in PATIENTS)], rows)
    write("stages", "The worker's stages, without Kafka", text, {"events": events, "us_per_event": costs})


if __name__ == "__main__":
    main()
