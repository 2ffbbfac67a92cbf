"""How long a worker takes from the assignment until it scores: the state of many patients from the changelog.

A real broker, four partitions, the shipped model. The changelog is written as a worker writes it, with two
generations of each patient, of which the older is not yet compacted. Measured in the worker: from the moment
at which the group assigns the partitions until the last one runs; cold, and after standing by.

    python -m bench.restore [--patients 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing

import numpy as np

from bench.broker import PARTITIONS, Broker, local_broker, usage
from bench.measure import markdown, write
from bench.messages import START_MS, patient_key
from stream.kafka.clients import make_sink, make_source
from stream.settings import Settings, load
from stream.state.changelog import Changes, Checkpoint, Patients
from stream.stays.record import STAY
from stream.worker.assembly import load_model, make_changelog
from stream.worker.worker import Worker

CHUNK = 5000
GENERATIONS = 2


def settings_of(broker: Broker, name: str) -> Settings:
    own = {
        "bootstrap_servers": broker.bootstrap,
        "application_id": name,
        "observations_topic": f"{name}-observations",
        "scores_topic": f"{name}-scores",
        "alerts_topic": f"{name}-alerts",
        "dead_letters_topic": f"{name}-dead-letters",
        "metrics_port": 0,
        "device": "cpu",
    }
    settings = load(own, environment={})
    topics = [value for key, value in own.items() if str(key).endswith("_topic")]
    broker.create(*map(str, topics), settings.changelog_topic)
    return settings


def fill(settings: Settings, patients: int) -> None:
    """Write the states, and commit the offset that they belong to: the end of an empty input."""
    model = load_model(settings)
    changelog = make_changelog(settings, model)
    random = np.random.default_rng(0)
    with closing(make_sink(settings)) as sink:
        for start in [*range(0, patients, CHUNK)] * GENERATIONS:
            numbers = range(start, min(start + CHUNK, patients))
            rows = random.normal(size=(len(numbers), model.state_size)).astype(np.float32)
            stays = np.full(len(numbers), 1, STAY)
            stays["expires_at"] = START_MS + 72 * 3_600_000
            ids = [patient_key(number) for number in numbers]
            states = Patients(ids, rows, stays, [b""] * len(numbers))
            partitions = np.array([number % PARTITIONS for number in numbers], np.int32)
            sink.send(changelog.encode([Changes(states, partitions)], {}))
        sink.send(changelog.encode([], dict.fromkeys(range(PARTITIONS), Checkpoint(0, START_MS))))
        sink.flush(120)
    with closing(make_source(settings, settings.application_id)) as source:
        source.assign(settings.observations_topic, dict.fromkeys(range(PARTITIONS), 0))
        source.commit(dict.fromkeys(range(PARTITIONS), 0))


def restored(worker: Worker, topic: str, patients: int, standing_by: bool) -> float:
    """Seconds from the assignment until all partitions run."""
    pipeline = worker.pipeline
    standby = pipeline.partitions.standby
    if standing_by:
        standby.open()
        while standby.followed < PARTITIONS or standby.lag:
            time.sleep(0.1)
    pipeline.source.subscribe(topic, pipeline, held=True)
    while not pipeline.assigned:
        pipeline.run_once(0.01)
    begun = time.monotonic()
    while len(pipeline.running) < PARTITIONS:
        pipeline.run_once(0.01)
    taken = time.monotonic() - begun
    pipeline.partitions.show_gauges()
    assert worker.metrics.registry.get_sample_value("vitalstream_patients_resident") == patients
    pipeline.close_clean()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with local_broker() as broker:
        settings = settings_of(broker, "bench-restore")
        fill(settings, args.patients)
        taken: dict[str, list[float]] = {"cold": [], "standing by": []}
        for _ in range(args.rounds):
            for way, seconds in taken.items():
                worker, topic = Worker(settings), settings.observations_topic
                seconds.append(restored(worker, topic, args.patients, way != "cold"))
                print(f"  {way}: {seconds[-1]:.2f} s", flush=True)
        broker_cpu = usage(broker.pid).cpu_seconds
    rows = [
        (way, f"{args.patients:,}", f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}")
        for way, seconds in taken.items()
    ]
    figures = {"patients": args.patients, "seconds": taken, "broker_cpu_seconds": broker_cpu}
    columns = ("worker", "patients", "s (median)", "longest")
    write("restore", "Restoring", markdown(columns, rows), figures)


if __name__ == "__main__":
    main()
