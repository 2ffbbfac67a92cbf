"""This checkout's worker beside another's, on one broker: events/s and CPU time, as ratios.

The speed of a machine that others use too may change by a third within a minute. So the two workers take
turns of two seconds: while one runs the other is stopped by a signal, and both read the same topic into
topics of their own. Each round has new processes, and they begin in the other order. The ratios are this
checkout's figures over the other's in the same round; the first turn of each is left out.

    git worktree add ../other COMMIT
    python -m bench.checkouts ../other [--patients 50000] [--guarantee at_least_once]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.broker import ROOT, Broker, local_broker, usage
from bench.load import preload
from bench.measure import markdown, write
from bench.pipeline import ONCE, OURS, Run

EVENTS = 2_000_000
STARTED = 5_000
TURN_S = 2.0
SETTLE_S = 0.05
WAYS = {"exactly_once": OURS, "at_least_once": ONCE}


@dataclass
class Work:
    """What one worker did in its turns."""

    seconds: float = 0.0
    scores: int = 0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.scores / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.scores * 1e6


@contextmanager
def only(mine: Run, other: Run) -> Iterator[None]:
    """Within, `mine` runs and `other` stands still; after it both do."""
    _signal(other, signal.SIGSTOP)
    _signal(mine, signal.SIGCONT)
    try:
        yield
    finally:
        _signal(mine, signal.SIGSTOP)


def _signal(run: Run, number: signal.Signals) -> None:
    for process in run.processes:
        os.kill(process.pid, number)


def take_turn(mine: Run, other: Run, work: Work) -> None:
    pids = [process.pid for process in mine.processes]
    begun, scores, cpu = time.monotonic(), mine.scored(), usage(*pids).cpu_seconds
    with only(mine, other):
        time.sleep(TURN_S)
    work.seconds += time.monotonic() - begun
    time.sleep(SETTLE_S)  # the broker has what was sent
    work.scores += mine.scored() - scores
    work.cpu_seconds += usage(*pids).cpu_seconds - cpu


def compare(broker: Broker, topic: str, way: str, order: list[Path], number: int, turns: int) -> list[Work]:
    """The work of each checkout, in their order."""
    with ExitStack() as stack:
        runs = [
            stack.enter_context(Run(way, broker, topic, f"round-{number}-{place}", code))
            for place, code in enumerate(order)
        ]
        for run in runs:
            stack.callback(_signal, run, signal.SIGCONT)
            run.wait_for(STARTED)
        work = [Work(), Work()]
        for turn in range(turns + 1):
            for mine, other, done in zip(runs, reversed(runs), work, strict=True):
                take_turn(mine, other, done if turn else Work())
    return work


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="bench.checkouts"
    )
    parser.add_argument("other", type=Path, help="a checkout of another commit")
    parser.add_argument("--patients", type=int, default=50_000)
    parser.add_argument("--guarantee", choices=WAYS, default="exactly_once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=11, help="of each worker in a round, 2 s each")
    args = parser.parse_args()
    rows, ratios = [], []
    with local_broker() as broker:
        broker.create("observations")
        preload(broker.bootstrap, "observations", EVENTS, args.patients)
        for number in range(args.rounds):
            order = [ROOT, args.other.resolve()]
            if number % 2:
                order.reverse()
            done = compare(broker, "observations", WAYS[args.guarantee], order, number, args.turns)
            mine, other = reversed(done) if number % 2 else done
            ratios.append((mine.rate / other.rate, mine.cpu_us / other.cpu_us))
            rows.append(
                (
                    number,
                    f"{mine.rate:,.0f}",
                    f"{other.rate:,.0f}",
                    f"{mine.cpu_us:.1f}",
                    f"{other.cpu_us:.1f}",
                    *(f"{ratio:.3f}" for ratio in ratios[-1]),
                )
            )
            print(rows[-1], flush=True)
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    rows.append(("median", "", "", "", "", *(f"{ratio:.3f}" for ratio in medians)))
    head = ("round", "events/s", "other's", "CPU µs an event", "other's", "events/s ratio", "CPU ratio")
    text = f"{args.patients:,} patients, {args.guarantee}.\n\n{markdown(head, rows)}"
    write(None, "This checkout beside another", text, {"ratios": ratios})


if __name__ == "__main__":
    main()
