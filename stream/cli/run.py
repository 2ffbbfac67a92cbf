"""`vitalstream run`: the worker."""

from __future__ import annotations

import json
import logging
from typing import Annotated

import typer

from stream.console.logs import start_logging
from stream.console.options import ALL, Json, takes_settings
from stream.console.stopping import stop_on_signals
from stream.metrics import Metrics, total
from stream.settings import Settings
from stream.worker.worker import Worker

log = logging.getLogger(__name__)


@takes_settings(*ALL)
def run(
    settings: Settings,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="End once nothing has arrived for this many seconds and the group has scored everything.",
        ),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show the settings in force, without secrets, and exit.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score events as a member of the consumer group, until SIGTERM or Ctrl-C."""
    if print_config:
        typer.echo(settings.model_dump_json(indent=2))
        return
    start_logging(settings.log_level, settings.log_format)
    worker = Worker(settings)
    worker.run(stop_on_signals(), until_idle, check_topics=True)
    log.info("stopped: all that was scored is committed")
    figures = summary(worker.metrics)
    typer.echo(json.dumps(figures) if as_json else ", ".join(f"{name} {n:,}" for name, n in figures.items()))


def summary(metrics: Metrics) -> dict[str, int]:
    """What a worker did since it started."""
    return {
        "events": total(metrics.consumed),
        "scores": total(metrics.scored),
        "discharges": total(metrics.discharged),
        "dead_letters": total(metrics.refused),
    }
