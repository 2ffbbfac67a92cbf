"""How long scores pause while the workers of a group are restarted one after the other.

A real broker, two workers, four partitions, a steady load. Every `EVERY_S` seconds one worker gets SIGTERM
and, when it has ended, is started again. The pause of a restart is the longest time that an event due in
those seconds waited until a `read_committed` consumer had its score.

    python -m bench.restart [--patients 10000] [--rate 2000]
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from bench.broker import PATIENCE_S, ROOT, WORKER, Broker, launch, local_broker, usage, wait_for
from bench.load import TICK_S, TopicReader, due_after, preload, sender
from bench.measure import markdown, write

EVERY_S = 15.0
RESTARTS = 4
WORKERS = 2
WAYS: dict[str, dict[str, str]] = {
    "as they come": {},
    "standby_replicas all": {"STANDBY_REPLICAS": "all"},
    "instance_id (static membership)": {"INSTANCE_ID": "worker-{}"},
}


class Workers:
    """The workers' processes. They are terminated on exit."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._processes = [self._start(number) for number in range(WORKERS)]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *failure: object) -> None:
        for number in range(WORKERS):
            self._stop(number)

    def restart(self, number: int) -> None:
        self._stop(number)
        self._processes[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        settings = {name: value.format(number) for name, value in self._settings.items()}
        return launch(WORKER, settings)

    def _stop(self, number: int) -> None:
        process = self._processes[number]
        process.send_signal(signal.SIGTERM)
        if process.wait(PATIENCE_S):
            raise RuntimeError(f"a worker ended with status {process.returncode}")


def roll(broker: Broker, name: str, way: Mapping[str, str], patients: int, rate: int) -> dict[str, Any]:
    """The pause of each restart, ms."""
    settings = broker.worker_settings(name, f"{name}-observations")
    inputs, scores = settings["OBSERVATIONS_TOPIC"], settings["SCORES_TOPIC"]
    topics = [value for key, value in settings.items() if key.endswith("_TOPIC")]
    broker.create(*topics, f"{name}-patient-state-changelog")
    seconds = EVERY_S * (RESTARTS + 1)
    known = 2 * patients
    preload(broker.bootstrap, inputs, known, patients)
    reader = TopicReader(
        broker.bootstrap, scores, known + due_after(round(seconds / TICK_S), rate), live=True
    )
    with Workers({**settings, **way}) as workers, closing(broker.watch(scores)) as count:
        wait_for(count, known, "the workers")
        time.sleep(EVERY_S)
        command = sender(broker.bootstrap, inputs, rate, seconds, patients)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as sending:
            time.sleep(EVERY_S)
            begun = []
            for restart in range(RESTARTS):
                begun.append(time.time())
                workers.restart(restart % WORKERS)
                time.sleep(max(begun[-1] + EVERY_S - time.time(), 0))
            sent = json.loads(sending.communicate()[0])
        due, waits = reader.waits()
    starts = [at * 1000 for at in begun]
    pauses = [float(waits[(due >= at - 1000) & (due < at + (EVERY_S - 1) * 1000)].max()) for at in starts]
    before = waits[(due >= sent["begin_ms"] + 2000) & (due < starts[0] - 1000)]
    return {"pauses_ms": pauses, "before_ms": float(before.max()), "sender_late_ms": sent["late_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    args = parser.parse_args()
    results, rows = [], []
    with local_broker() as broker:
        for place, (way, settings) in enumerate(WAYS.items()):
            result = roll(broker, f"restart-{place}", settings, args.patients, args.rate)
            results.append({"way": way, **result})
            print(f"  {results[-1]}", flush=True)
            pauses = [pause / 1000 for pause in result["pauses_ms"]]
            rows.append(
                (
                    way,
                    f"{statistics.median(pauses):.2f}",
                    f"{max(pauses):.2f}",
                    f"{result['before_ms'] / 1000:.2f}",
                )
            )
        broker_cpu = usage(broker.pid).cpu_seconds
    columns = ("two workers", "pause, s (median)", "longest", "longest wait before")
    text = f"{args.patients:,} patients, {args.rate:,} events/s, {RESTARTS} restarts each.\n\n"
    figures = {"patients": args.patients, "rate": args.rate, "results": results, "broker_cpu_s": broker_cpu}
    write("restart", "Rolling restart", text + markdown(columns, rows), figures)


if __name__ == "__main__":
    main()
