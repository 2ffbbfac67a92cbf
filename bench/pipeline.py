"""The running pipeline on a real broker beside it: events/s, CPU, memory and latency, each way in turn.

echo: librdkafka alone, same bytes out. vitalstream: a worker, a process of its own, exactly_once with
librdkafka unless stated otherwise; also at_least_once, with kafka-python, and two workers of one group.
per-event: a plain loop with json.loads and GRUCell on one event at a time. All read the same topic with four
partitions.

Throughput: the input is written beforehand; the score topic's end is polled while the process runs. Counted
from one second after the first output (so without start, imports and the first growth of the state) until
all is out or `--seconds` have passed. CPU: user and system time of the processes in that time. Memory: their
peak, start included. Latency: a producer in a process of its own sends at half of the way's own median rate;
the time from when an event was due to be sent until the broker appended its score (`LogAppendTime`), read
after the run, so that no reader disturbs it; of exactly_once, until a `read_committed` consumer beside it has
the score. Its first fifth is left out, and the first two rounds of each
way, in which the broker's JVM compiles its code for small requests. The rounds' medians are given.

    python -m bench.pipeline [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.broker import PATIENCE_S, ROOT, WORKER, Broker, Usage, launch, local_broker, usage, wait_for
from bench.load import TICK_S, Latency, TopicReader, due_after, preload, sender
from bench.measure import markdown, write

OURS = "vitalstream"
ONCE = "vitalstream at_least_once"
TWO = "vitalstream, 2 workers"
SETTINGS: dict[str, dict[str, str]] = {
    OURS: {},
    ONCE: {"PROCESSING_GUARANTEE": "at_least_once"},
    TWO: {},
    "vitalstream kafka-python": {"CLIENT": "kafka-python"},
}
TRANSACTIONAL = SETTINGS.keys() - {ONCE}
WAYS = ("echo", *SETTINGS, "per-event")
WARM_UP_S = 1.0
WARM_UP_EVENTS = 1000
WARM_UP_ROUNDS = 2


@dataclass(frozen=True)
class Plan:
    events: int
    patients: tuple[int, ...]
    rounds: int
    seconds: float
    latency_seconds: float


FULL = Plan(2_000_000, (50_000, 500), 3, 12.0, 8.0)
QUICK = Plan(2_000_000, (50_000,), 1, 5.0, 5.0)


@dataclass(frozen=True)
class Throughput:
    events_per_second: float
    cpu_s_per_million: float
    broker_cpu_s_per_million: float
    peak_rss_mb: float


class Run:
    """One way's processes on `topic`, with output topics of their own. They are terminated on exit."""

    def __init__(self, way: str, broker: Broker, topic: str, name: str, code: Path = ROOT) -> None:
        """code: the checkout whose worker it is."""
        self.way, self.broker = way, broker
        self.scores = f"{name}-scores"
        others = ("dead-letters", "alerts", "patient-state-changelog")
        self._topics = (self.scores, *(f"{name}-{other}" for other in others))
        broker.create(self.scores, append_time=True)
        broker.create(*self._topics[1:])
        settings: dict[str, str] = {}
        arguments: Sequence[str] = WORKER
        if way in SETTINGS:
            settings = SETTINGS[way] | broker.worker_settings(name, topic)
        else:
            module = [sys.executable, "-m", "bench.contenders", way]
            arguments = [*module, broker.bootstrap, topic, self.scores, name]
        count = 2 if way == TWO else 1
        self.processes = [launch(arguments, settings, code) for _ in range(count)]
        self.count = broker.watch(self.scores)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *failure: object) -> None:
        self.count.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.broker.delete(*self._topics)

    def scored(self) -> int:
        """Scores so far. Raises if a process has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"{self.way} ended with status {process.returncode}")
        return self.count()

    def wait_for(self, scores: int) -> None:
        wait_for(self.scored, scores, self.way)

    def sample(self) -> UsageSample:
        now, scores = time.monotonic(), self.scored()
        return UsageSample(
            now, scores, usage(*(process.pid for process in self.processes)), usage(self.broker.pid)
        )


@dataclass(frozen=True)
class UsageSample:
    at: float
    scores: int
    processes: Usage
    broker: Usage


def throughput(run: Run, events: int, seconds: float) -> Throughput:
    run.wait_for(1)
    time.sleep(WARM_UP_S)
    begin = end = run.sample()
    while end.scores < events and end.at - begin.at < seconds:
        time.sleep(0.05)
        end = run.sample()
    done = end.scores - begin.scores
    if done < events / 10 and end.scores == events:
        raise RuntimeError("too few events: all but a tenth went by while it warmed up")
    return Throughput(
        done / (end.at - begin.at),
        (end.processes.cpu_seconds - begin.processes.cpu_seconds) / done * 1e6,
        (end.broker.cpu_seconds - begin.broker.cpu_seconds) / done * 1e6,
        end.processes.peak_rss_bytes / 2**20,
    )


def latency(way: str, broker: Broker, name: str, rate: float, patients: int, seconds: float) -> Latency:
    topic = f"{name}-observations"
    broker.create(topic)
    preload(broker.bootstrap, topic, WARM_UP_EVENTS, patients)
    with Run(way, broker, topic, name) as run:
        run.wait_for(WARM_UP_EVENTS)
        if way == TWO:
            broker.wait_for_members(name, 2)
        events = WARM_UP_EVENTS + due_after(round(seconds / TICK_S), round(rate))
        reader = TopicReader(broker.bootstrap, run.scores, events, live=way in TRANSACTIONAL)
        command = sender(broker.bootstrap, topic, round(rate), seconds, patients)
        sent = json.loads(subprocess.check_output(command, cwd=ROOT))
        run.wait_for(events)
        measured = reader.latency(sent["begin_ms"] + seconds * 200)
    broker.delete(topic)
    print(f"  {way}: {rate:.0f}/s, sender late by {sent['late_ms']:.0f} ms at most, {measured}", flush=True)
    return measured


def measure(plan: Plan, ways: Sequence[str], patients: int, broker: Broker) -> list[dict[str, Any]]:
    """Every way in turn, `rounds` times; then as often, and more for the broker's sake, each way's latency at
    half of its own median rate."""
    topic = f"observations-of-{patients}"
    broker.create(topic)
    preload(broker.bootstrap, topic, plan.events, patients)
    runs: dict[str, list[Throughput]] = {way: [] for way in ways}
    for number in range(plan.rounds):
        for place, way in enumerate(ways):
            with Run(way, broker, topic, f"bench-{patients}-{number}-{place}") as run:
                runs[way].append(throughput(run, plan.events, plan.seconds))
            print(f"  {way}: {runs[way][-1]}", flush=True)
    broker.delete(topic)
    rates = {way: statistics.median(run.events_per_second for run in runs[way]) for way in ways}
    waits: dict[str, list[Latency]] = {way: [] for way in ways}
    for number in range(plan.rounds + WARM_UP_ROUNDS):
        for place, way in enumerate(ways):
            name = f"late-{patients}-{number}-{place}"
            measured = latency(way, broker, name, rates[way] / 2, patients, plan.latency_seconds)
            waits[way] += [measured] if number >= WARM_UP_ROUNDS else []
    return [
        {
            "way": way,
            "patients": patients,
            **medians(runs[way]),
            "latency_at_half_load": medians(waits[way]),
            "rounds": [asdict(run) for run in runs[way]],
            "latency_rounds": [asdict(wait) for wait in waits[way]],
        }
        for way in ways
    ]


def medians(rounds: Sequence[Throughput] | Sequence[Latency]) -> dict[str, float]:
    return {
        field.name: statistics.median(getattr(each, field.name) for each in rounds)
        for field in fields(rounds[0])
    }


def ratios(results: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over the rounds: the rate of one worker in each guarantee and of two workers, over those of the
    others in the same round."""
    rates = {
        (result["patients"], result["way"]): [run["events_per_second"] for run in result["rounds"]]
        for result in results
    }
    return {
        f"{way} / {other}, {patients} patients": statistics.median(
            ours / theirs for ours, theirs in zip(rates[patients, way], of_other, strict=True)
        )
        for (patients, other), of_other in rates.items()
        for way in (OURS, ONCE, TWO)
        if other != way and other not in (OURS, TWO) and (patients, way) in rates
    }


def table(results: list[dict[str, Any]]) -> str:
    rows = [
        (
            result["patients"],
            result["way"],
            f"{result['events_per_second']:,.0f}",
            f"{result['cpu_s_per_million']:.1f}",
            f"{result['broker_cpu_s_per_million']:.1f}",
            f"{result['peak_rss_mb']:.0f}",
            f"{result['latency_at_half_load']['p50_ms']:.0f}",
            f"{result['latency_at_half_load']['p99_ms']:.0f}",
        )
        for result in results
    ]
    head = ("patients", "way", "events/s", "CPU s a million events", "broker's", "peak RSS, MiB")
    return markdown((*head, "p50 at half load, ms", "p99"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="bench.pipeline"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round, one size of ward, no files: to see that it works"
    )
    parser.add_argument("--only", action="append", choices=WAYS, help="this way (may be repeated)")
    parser.add_argument("--name", help="of the result files [default: pipeline; none with --quick or --only]")
    args = parser.parse_args()
    plan = QUICK if args.quick else FULL
    results: list[dict[str, Any]] = []
    with local_broker() as broker:
        for patients in plan.patients:
            print(f"{patients} patients", flush=True)
            results += measure(plan, args.only or WAYS, patients, broker)
    text = f"{__doc__.split('    python')[0].split(chr(10), 2)[2]}{table(results)}\n"
    compared = ratios(results)
    text += "".join(f"- {name}: {ratio:.2f}\n" for name, ratio in compared.items())
    figures = {"plan": asdict(plan), "ratios": compared, "results": results}
    name = args.name or (None if args.quick or args.only else "pipeline")
    write(name, "The running pipeline on a real broker", text, figures)


if __name__ == "__main__":
    main()
