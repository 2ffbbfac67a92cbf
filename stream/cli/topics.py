"""`vitalstream topics`: the topics and their settings."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from stream.console.options import KAFKA, takes_settings
from stream.errors import RefusalError
from stream.kafka import topics
from stream.kafka.admin import BROKERS_DEFAULT, Admin, partition_count
from stream.kafka.clients import make_admin
from stream.settings import Settings

NAMES = ("observations_topic", "scores_topic", "alerts_topic", "dead_letters_topic")
app = typer.Typer(help="Create the topics, or check them and their settings.", no_args_is_help=True)


@app.command()
@takes_settings(*KAFKA, *NAMES)
def create(
    settings: Settings,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Partitions of each topic; more workers stay idle. [default: as existing topics have, or 4]",
        ),
    ] = None,
    replication_factor: Annotated[
        int, typer.Option(help="Copies of each partition; -1 for the broker's default.")
    ] = BROKERS_DEFAULT,
) -> None:
    """Create the missing topics; existing topics are left as they are."""
    with closing(make_admin(settings)) as admin:
        count = topics.agreed_partitions(settings, admin, partitions)
        copies = _default_copies(admin) if replication_factor == BROKERS_DEFAULT else replication_factor
        done = admin.create(topics.specs(settings, count, replication_factor, copies))
    for name in done.created:
        typer.echo(f"created  {name}, {count} partitions")
    for name in done.existing:
        typer.echo(f"exists   {name}")


@app.command()
@takes_settings(*KAFKA, *NAMES)
def check(settings: Settings) -> None:
    """Compare the topics with what a worker needs; the exit code is 3 if it would refuse them."""
    with closing(make_admin(settings)) as admin:
        partitions = partition_count(admin, settings.observations_topic)
        faults = topics.examine(settings, admin)
    for fault in faults:
        if not fault.fatal:
            typer.echo(f"warning  {fault}")
    topics.refuse(faults)
    if not faults:
        typer.echo(f"ok       all topics as they should be, {partitions} partitions each")


def _default_copies(admin: Admin) -> int:
    """How many replicas a topic gets by default; 0 if the brokers do not say."""
    try:
        return int(admin.broker_config().get("default.replication.factor", 0))
    except RefusalError:
        return 0
