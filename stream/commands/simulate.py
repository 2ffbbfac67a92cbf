"""`vitalstream simulate`: a synthetic ward → Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

import typer

from stream.clients import make_sink
from stream.commands.delivery import FOREVER_MS, Counter, deliver
from stream.commands.feed import partitions
from stream.commands.options import KAFKA, Json, takes_settings
from stream.commands.stopping import stop_on_signals
from stream.ingest.pacing import Pace
from stream.ingest.simulator import Ward
from stream.settings import Settings

CATCH_UP_HOURS = 24.0


@takes_settings(*KAFKA, "observations_topic")
def simulate(
    settings: Settings,
    patients: Annotated[int, typer.Option(min=1, help="How many lie on the ward.")] = 60,
    interval: Annotated[float, typer.Option(min=0.001, help="Seconds between a patient's events.")] = 1.0,
    speed: Annotated[float, typer.Option(min=0.001, help="How many times as fast as the clock.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="End after this many seconds. [default: never]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same ward.")] = 1,
    as_json: Json = False,
) -> None:
    """Send the events of a synthetic ward, some of whose patients deteriorate.

    Event time never passes the clock. A ward that is faster than the clock begins in the past: with --for so
    that it ends now, without it 24 hours ago, and then goes on at the clock's pace.
    """
    partitions(settings, settings.observations_topic)
    stop = stop_on_signals()
    now = time.time() * 1000
    ahead = seconds * (speed - 1) * 1000 if seconds is not None else CATCH_UP_HOURS * 3_600_000
    start_ms = int(now - ahead) if speed > 1 else int(now)
    until_ms = FOREVER_MS if seconds is None else start_ms + int(seconds * speed * 1000)
    ward = Ward(patients, seed, start_ms, interval, topic=settings.observations_topic)
    total = None if seconds is None else ward.due(until_ms)
    with closing(make_sink(settings)) as sink, Counter("simulate", total) as counter:
        deliver(ward, sink, stop, counter.add, Pace(start_ms, speed), until_ms)
    counter.conclude(patients, as_json)
