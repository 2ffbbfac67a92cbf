"""`vitalstream demo`: everything at once, on this machine, with nothing to install."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stream.console.options import takes_settings
from stream.console.stopping import stop_on_signals
from stream.demo.session import open_session
from stream.demo.tally import Tally
from stream.settings import Settings
from stream.synthetic.delivery import in_words
from stream.synthetic.faults import AS_IN_LIFE, Faulty
from stream.synthetic.scenario import Scenario
from stream.synthetic.simulator import Ward

HISTORY_HOURS = 6.0
STALE_AFTER_HOURS = 2.0
SHORTEST_HOURS = 0.25
"""A shorter run shows the beginning only of what happens."""


@takes_settings("model", "device", "threads")
def demo(
    settings: Settings,
    seconds: Annotated[
        float, typer.Option("--for", min=0, help="Seconds for which to watch the ward.")
    ] = 60.0,
    patients: Annotated[int, typer.Option(min=1, help="Number of patients on the ward.")] = 60,
    speed: Annotated[
        float, typer.Option(min=1, help="Speed of the ward, as a multiple of real time.")
    ] = 60.0,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds of ward time between two events of a patient.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same ward.")] = 1,
    save: Annotated[Path | None, typer.Option(help="Save the last view as an SVG file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as one JSON object, on the last line.")
    ] = False,
) -> None:
    """Watch a synthetic ward: embedded broker, worker and live table in one process; no server, no network.

    The ward's last six hours are scored at once; then the ward continues at --speed times real time.
    Meanwhile patients fall ill, some to cardiac arrest, are moved, recover or die, and are discharged; new
    patients are admitted to their beds. Some records arrive late, twice, in the wrong order or spoiled: the
    summary reports how many, and what the worker made of them. Ctrl-C ends the demo at any time, with the
    summary.

    Latency is measured for the events that are sent while you watch: from just before the producer gets an
    event until a separate consumer has read its score from the score topic. Events/s counts all events,
    including the six hours, over the time from the first event sent to the last score read.
    """
    stop = stop_on_signals()
    console = Console(stderr=as_json)
    with open_session(settings, console, stop) as stage:
        live_ms = int(time.time() * 1000 - seconds * (speed - 1.0) * 1000)
        until_ms = live_ms + int(seconds * speed * 1000)
        start_ms = live_ms - int(HISTORY_HOURS * 3_600_000)
        scenarios = before(seconds * speed / 3600.0), newcomers(seconds * speed / 3600.0)
        ward = Ward(patients, seed, start_ms, interval, scenarios[0], newcomers=scenarios[1])
        events = Faulty(ward, AS_IN_LIFE, seed)
        stage.run_phase("the last six hours", events, start_ms, live_ms, None)
        stage.tally.timing.set()
        stage.run_phase(f"{speed:g}× real time", events, live_ms, until_ms, speed)
        if save:
            stage.screen.save(save)
        dropped = stage.dropped()
    conclude(stage.tally, dropped, events.counts, console)
    if as_json:
        figures = {"faults": dict(events.counts), "dropped": dropped}
        typer.echo(json.dumps(stage.tally.figures() | figures))


def before(watched_hours: float) -> Scenario:
    """Patients who are on the ward at the start: well until then, or recently ill. Some sensors that fell
    silent become stale. A third leave during the demo, at even intervals."""
    hours = max(SHORTEST_HOURS, watched_hours)
    silent_since = HISTORY_HOURS - STALE_AFTER_HOURS
    return Scenario(
        stay=(HISTORY_HOURS, HISTORY_HOURS + 3.0 * hours),
        deteriorating=0.2,
        onset=(HISTORY_HOURS - 0.5 * hours, HISTORY_HOURS + 0.5 * hours),
        course=(0.4 * hours, 0.9 * hours),
        wait=(0.05 * hours, 0.2 * hours),
        code=_code(hours),
        recovery=(0.3 * hours, 0.8 * hours),
        silent=0.08,
        silence=(silent_since, silent_since + 0.8 * hours),
    )


def newcomers(watched_hours: float) -> Scenario:
    """Patients who are admitted during the demo: half of them, the first one included, soon fall ill, and
    half of these arrest; the course of one of the first is complete before the demo ends."""
    hours = max(SHORTEST_HOURS, watched_hours)
    return Scenario(
        stay=(0.4 * hours, 0.75 * hours),
        deteriorating=0.5,
        onset=(0.04 * hours, 0.08 * hours),
        course=(0.15 * hours, 0.25 * hours),
        wait=(0.02 * hours, 0.06 * hours),
        arresting=0.5,
        code=_code(hours),
        recovery=(0.15 * hours, 0.25 * hours),
        silent=0.0,
    )


def _code(hours: float) -> tuple[float, float]:
    """Minutes of a resuscitation: a few, and a tenth of what is watched at most."""
    return 4.0 * hours, 6.0 * hours


def conclude(tally: Tally, dropped: Mapping[str, int], faults: Mapping[str, int], console: Console) -> None:
    """Print what was done: what went wrong on the way, by `faults`, and what the worker made of it."""
    p50, p99 = tally.latency_ms(0.5), tally.latency_ms(0.99)
    reasons = in_words(dict(sorted(tally.dead_letters.items())))
    letters = f"{tally.dead_letters.total():,} dead letters" + (f" ({reasons})" if reasons else "")
    latency = "" if p50 is None else f", latency p50 {p50} ms, p99 {p99} ms"
    lines = [f"{tally.events:,} events → {tally.scores:,} scores, {tally.late:,} of them late; {letters}; "]
    lines[0] += f"{tally.unscored:,} transfers and discharges"
    lines.append(f"went wrong on the way: {in_words(faults) or 'nothing'}")
    lines.append(f"fields left out by the worker: {in_words(dropped) or 'none'}")
    lines.append(f"{tally.events_per_second():,} events/s{latency}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    if tally.open > 0:
        console.print(f"{tally.open:,} events were still on their way when it ended", highlight=False)
