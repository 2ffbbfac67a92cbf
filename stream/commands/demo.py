"""`vitalstream demo`: everything at once, on this machine, with nothing to install."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stream.commands.options import takes_settings
from stream.commands.stage import opened
from stream.commands.stopping import stop_on_signals
from stream.commands.tally import Tally
from stream.ingest.faults import Faulty
from stream.ingest.patients import Plot
from stream.ingest.simulator import Ward
from stream.settings import Settings

HISTORY_HOURS = 6.0
FAULTY_SHARE = 0.01
STALE_AFTER_HOURS = 2.0


@takes_settings("model", "device", "threads")
def demo(
    settings: Settings,
    seconds: Annotated[float, typer.Option("--for", min=0, help="Seconds that the ward is watched.")] = 60.0,
    patients: Annotated[int, typer.Option(min=1, help="How many lie on the ward.")] = 60,
    speed: Annotated[float, typer.Option(min=1, help="Times as fast as the clock.")] = 60.0,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds, on the ward, between two events of a patient.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same ward.")] = 1,
    save: Annotated[Path | None, typer.Option(help="Save the last view as an SVG file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Figures as one JSON object, the last line.")
    ] = False,
) -> None:
    """Watch a synthetic ward: embedded broker, worker and live table in one process; no server, no network.

    First the ward's last six hours are scored at once; then it goes on at --speed times the clock, with a
    few spoiled events among the good ones. Ctrl-C ends it at any time, with the summary.

    Latency is the time from just before an event is given to the producer until its score has been read
    from the score topic by a consumer of its own, of the events since the ward is watched. Events/s are all
    events, the six hours included, over the time from the first event sent to the last score read.
    """
    stop = stop_on_signals()
    console = Console(stderr=as_json)
    with opened(settings, console, stop) as stage:
        live_ms = int(time.time() * 1000 - seconds * (speed - 1.0) * 1000)
        until_ms = live_ms + int(seconds * speed * 1000)
        start_ms = live_ms - int(HISTORY_HOURS * 3_600_000)
        ward = Ward(patients, seed, start_ms, interval, plot(seconds * speed / 3600.0))
        stage.play("the last six hours", ward, start_ms, live_ms, None)
        stage.tally.timing.set()
        stage.play(f"{speed:g}× real time", Faulty(ward, FAULTY_SHARE, seed), live_ms, until_ms, speed)
        if save:
            stage.screen.save(save)
    conclude(stage.tally, console)
    if as_json:
        typer.echo(json.dumps(stage.tally.figures()))


def plot(watched_hours: float) -> Plot:
    """A ward on which something happens while it is watched: patients fall ill, and sensors that fell silent
    before become stale."""
    hours = max(1.0, watched_hours)
    silent_since = HISTORY_HOURS - STALE_AFTER_HOURS
    return Plot(
        deteriorating=0.2,
        onset=(HISTORY_HOURS - 2.0, HISTORY_HOURS + 0.5 * hours),
        course=(0.6 * hours, 2.0 * hours),
        silent=0.08,
        silence=(silent_since, silent_since + 0.8 * hours),
    )


def conclude(tally: Tally, console: Console) -> None:
    """Print what was done."""
    p50, p99 = tally.latency_ms(0.5), tally.latency_ms(0.99)
    reasons = ", ".join(f"{code} {count}" for code, count in sorted(tally.dead_letters.items()))
    letters = f"{tally.dead_letters.total():,} dead letters" + (f" ({reasons})" if reasons else "")
    latency = "" if p50 is None else f", latency p50 {p50} ms, p99 {p99} ms"
    lines = [f"{tally.events:,} events → {tally.scores:,} scores, {letters}"]
    lines.append(f"{tally.events_per_second():,} events/s{latency}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    if tally.open:
        console.print(f"{tally.open:,} events were still on their way when it ended", highlight=False)
