"""The step stage on each device: micro-batches in host memory → scores in host memory.

The real state store and stepper with a GRU of 64 and random weights: events and times to the device, state
gathered, stepped wave by wave, scattered, and the results copied back, which waits for the device. Without
decoding and Kafka. Needs numpy and torch. Without a CUDA device it reports that and measures the CPU.

    python -m bench.gpu [--rounds 20]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.measure import markdown, write
from bench.messages import START_MS, patient_key
from model.features import SKEWED, Normalisation
from model.risk_model import RiskModel, Shape
from model.variables import STATICS, VARIABLES
from stream.batch.waves import pack
from stream.columns.events import Code, Events, Kind, Refused
from stream.columns.records import Records
from stream.state.admission import Admitted
from stream.state.store import StateStore
from stream.stays.record import Periods
from stream.step.stepper import Stepper
from stream.worker.stepping import Stepping

SIZES = (256, 4096, 16_384, 65_536)
RESIDENT = (100_000, 500)
PERIODS = Periods(expire_after=72 * 3_600_000, discharge_grace=12 * 3_600_000)
MAX_PAST_MS = 7 * 24 * 3_600_000


def normalisation() -> Normalisation:
    middle = {v.name: 2.0 if v.name in SKEWED else sum(v.trained) / 2 for v in VARIABLES}
    middle |= {f"static.{name}": 100.0 for name in STATICS}
    return Normalisation(middle, {name: value / 4 for name, value in middle.items()})


def batch(size: int, patients: int, number: int, random: np.random.Generator) -> Events:
    """Six of the variables measured of each of `size` random patients."""
    who = random.integers(patients, size=size)
    values = np.full((size, len(VARIABLES)), np.nan, np.float32)
    for column in random.choice(len(VARIABLES), 6, replace=False):
        variable = VARIABLES[column]
        values[:, column] = random.uniform(variable.trained[0], variable.trained[1], size)
    at = np.full(size, START_MS + number * 60_000)
    offsets, partitions = np.arange(size) + number * size, (who % 4).astype(np.int32)
    keys = [patient_key(patient) for patient in who.tolist()]
    return Events(
        records=Records("bench", [b""] * size, list(keys), partitions, offsets, at),
        rows=np.arange(size),
        patients=keys,
        partitions=partitions,
        offsets=offsets,
        timestamps=at,
        kinds=np.full(size, Kind.OBSERVATION, np.int8),
        observed_at=at,
        digests=offsets.astype(np.uint64),
        values=values,
        statics=np.empty((0, len(STATICS)), np.float32),
        places=np.zeros((size, 3), np.uint64),
        names={},
    )


def none_refused(events: Events) -> Refused:
    return events.refuse(np.zeros(len(events), np.bool_), Code.PAST, "state")


def measure(device: str, size: int, patients: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    model = RiskModel(Shape("gru", 64), normalisation()).to(device).eval().requires_grad_(False)
    store = StateStore(model.initial_state(), patients, patients)
    everyone = [patient_key(patient) for patient in range(patients)]
    store.admit(everyone, (np.arange(patients) % 4).astype(np.int32))
    stepping = Stepping(store, Stepper(model, model.initial_state()), PERIODS, MAX_PAST_MS)
    batches = [batch(size, patients, number, random) for number in range(8)]
    slots = [store.admit(events.patients, events.partitions) for events in batches]
    taken = []
    for number in range(rounds + 3):
        given = batches[number % 8]
        events = replace(given, digests=given.digests + np.uint64(number * size * 8))
        admission = Admitted(events, slots[number % 8], events.observed_at, none_refused(events), 0)
        begin = time.perf_counter()
        (outcome,) = stepping.step(admission)
        taken.append(time.perf_counter() - begin)
        assert len(outcome.scores) == size
    median = statistics.median(taken[3:])
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread",
        "patients": patients,
        "batch": size,
        "waves": len(pack(slots[0]).sizes),
        "ms_per_batch": median * 1e3,
        "events_per_second": size / median,
        "bytes_per_patient": store.bytes_per_patient,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    results = [
        measure(device, size, patients, rounds)
        for device in devices
        for patients in RESIDENT
        for size in SIZES
    ]
    rows = [
        (
            result["device"],
            result["patients"],
            result["batch"],
            result["waves"],
            f"{result['ms_per_batch']:.2f}",
            f"{result['events_per_second']:,.0f}",
        )
        for result in results
    ]
    text = "" if "cuda" in devices else "No CUDA device here: only the CPU was measured.\n\n"
    text += f"State of one patient on the device: {results[0]['bytes_per_patient']} bytes.\n\n"
    text += markdown(["device", "patients", "batch", "waves", "ms a batch", "events/s"], rows)
    write("gpu", "The step stage on each device", text, {"torch": torch.__version__, "results": results})


if __name__ == "__main__":
    main()
