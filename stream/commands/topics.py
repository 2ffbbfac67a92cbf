"""`vitalstream topics`: the topics and their settings."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from stream import topics
from stream.admin.admin import BROKERS_DEFAULT, TopicSpec, partition_count
from stream.clients import make_admin
from stream.commands.options import KAFKA, takes_settings
from stream.errors import TopicError
from stream.settings import Settings
from stream.topics import specs

NAMES = ("observations_topic", "scores_topic", "alerts_topic", "dead_letters_topic")
app = typer.Typer(help="Create the topics, or check them and their settings.", no_args_is_help=True)


def wanted(settings: Settings, partitions: int, replication_factor: int = BROKERS_DEFAULT) -> list[TopicSpec]:
    """The five topics as the settings name them."""
    return specs(
        observations=settings.observations_topic,
        scores=settings.scores_topic,
        alerts=settings.alerts_topic,
        dead_letters=settings.dead_letters_topic,
        changelog=settings.changelog_topic,
        partitions=partitions,
        replication_factor=replication_factor,
    )


@app.command()
@takes_settings(*KAFKA, *NAMES)
def create(
    settings: Settings,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic: the most workers.")] = 4,
    replication_factor: Annotated[
        int, typer.Option(help="Copies of each partition; -1: the broker's default.")
    ] = BROKERS_DEFAULT,
) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    with closing(make_admin(settings)) as admin:
        done = admin.create(wanted(settings, partitions, replication_factor))
    for name in done.created:
        typer.echo(f"created  {name}, {partitions} partitions")
    for name in done.existing:
        typer.echo(f"exists   {name}")


@app.command()
@takes_settings(*KAFKA, *NAMES)
def check(settings: Settings) -> None:
    """Compare the topics with what they should be; exit code 3 where one differs."""
    with closing(make_admin(settings)) as admin:
        partitions = partition_count(admin, settings.observations_topic)
        complaints = topics.check(admin, wanted(settings, partitions))
    if complaints:
        raise TopicError("; ".join(complaints))
    typer.echo(f"ok       all topics as they should be, {partitions} partitions each")
