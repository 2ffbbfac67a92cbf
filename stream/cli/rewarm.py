"""`vitalstream rewarm`: another model's states, made beside the running workers until it can take over."""

from __future__ import annotations

import json
import threading
from concurrent.futures import wait
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Annotated

import typer

from stream.background import raise_failure, spawn
from stream.console.logs import start_logging
from stream.console.options import ALL, takes_settings
from stream.console.stopping import stop_on_signals
from stream.errors import SettingsError
from stream.inspect.future_events import refused_as_future
from stream.kafka.admin import partition_count
from stream.kafka.clients import make_admin, make_source
from stream.kafka.topics import specs
from stream.rewarm.agreement import FAR, Comparison
from stream.rewarm.follower import build_follower
from stream.rewarm.progress import RewarmProgress, Standing, Tap
from stream.settings import Settings
from stream.worker.worker import Worker

JOIN_TIMEOUT_S = 30.0
NOT_DONE = 1


@takes_settings(*ALL)
def rewarm(
    settings: Settings,
    beside: Annotated[str, typer.Option(help="The application_id of the running workers.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two reports.")] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each report as one JSON object on a line.")
    ] = False,
) -> None:
    """Build the states of a new model from the retained input, beside the running workers.

    --application-id and --model are those of the new generation. `rewarm` never runs ahead of what the
    running workers have committed. It writes only its own changelog and offsets, and reports how far it is
    behind and how far the two models' scores agree. When it has caught up, stop the running workers: `rewarm`
    ends by itself once their last event is in the new states, and `vitalstream run` with the same
    --application-id and --model continues with the next event. You can stop and start `rewarm` again at any
    time: exit code 1 means that it is not done.
    """
    if beside == settings.application_id:
        raise SettingsError("beside and application_id are the same: a new model needs a new application_id")
    start_logging(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    _make_changelog_topic(settings)
    with ExitStack() as resources:
        leader = resources.enter_context(closing(make_source(settings, beside)))
        leader.assign(settings.observations_topic, {})
        tap = Tap()
        worker = build_follower(settings, leader.committed, tap, refused_as_future(settings))
        standing = _follow(settings, beside, worker, tap, stop, every, as_json)
    if not as_json:
        typer.echo(_end(settings, beside, standing))
    if not standing.complete:
        raise typer.Exit(NOT_DONE)


def _follow(
    settings: Settings,
    beside: str,
    worker: Worker,
    tap: Tap,
    stop: threading.Event,
    every: float,
    as_json: bool,
) -> Standing:
    """Follow until the new states are complete or `stop` is set."""
    progress = RewarmProgress(settings, beside, worker.model_hash, tap, every)

    def report() -> None:
        try:
            for standing in progress.reports(stop):
                typer.echo(json.dumps(_as_object(standing)) if as_json else _as_text(standing, beside))
        finally:
            stop.set()

    reporting = spawn("rewarm", report)
    worker.run(stop, check_topics=True)
    wait([reporting], JOIN_TIMEOUT_S)
    raise_failure(reporting)
    return progress.standing


def _make_changelog_topic(settings: Settings) -> None:
    with closing(make_admin(settings)) as admin:
        partitions = partition_count(admin, settings.observations_topic)
        admin.create([spec for spec in specs(settings, partitions) if spec.name == settings.changelog_topic])


def _as_object(standing: Standing) -> dict[str, object]:
    return {
        "behind": standing.behind,
        "caught_up": standing.caught_up,
        "complete": standing.complete,
        "agreement": {name: _number(value) for name, value in asdict(standing.agreement).items()},
    }


def _number(value: float) -> float | None:
    return None if value != value else value


def _as_text(standing: Standing, beside: str) -> str:
    parts = [f"{standing.behind:,} events behind {beside}"]
    if standing.seconds_left is not None:
        parts.append(f"about {standing.seconds_left:,.0f} s left")
    if standing.caught_up and not standing.complete:
        parts.append(f"caught up: stop the workers of {beside} to switch")
    return "; ".join([*parts, _agreement(standing.agreement)])


def _agreement(figures: Comparison) -> str:
    if not figures.compared:
        return "no scores compared yet"
    return (
        f"{figures.compared:,} scores compared: correlation {figures.correlation:.3f}, mean risk "
        f"{figures.old:.3f} and now {figures.new:.3f}, mean difference {figures.mean_difference:.3f}, "
        f"{figures.far:.1%} differ by more than {FAR:g}"
    )


def _end(settings: Settings, beside: str, standing: Standing) -> str:
    if not standing.complete:
        return f"not done: {standing.behind:,} events behind {beside}; start it again to continue"
    return (
        f"done: every event that {beside} scored is in the new states. Continue with: vitalstream run "
        f"--application-id {settings.application_id} --model {settings.model}"
    )
