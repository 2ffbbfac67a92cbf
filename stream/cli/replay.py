"""`vitalstream replay`: recorded stays → Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from model.datasets import physionet2012
from model.errors import DatasetError
from stream.console.options import KAFKA, Json, takes_settings
from stream.console.stopping import stop_on_signals
from stream.errors import DataError
from stream.kafka.clients import make_sink
from stream.kafka.tail import partitions
from stream.settings import Settings
from stream.synthetic.delivery import DeliveryCount, deliver
from stream.synthetic.pacing import Pace
from stream.synthetic.recorded import RecordedFeed


@takes_settings(*KAFKA, "observations_topic")
def replay(
    settings: Settings,
    data: Annotated[
        Path, typer.Option(help="Folder that contains physionet2012/.", envvar="VITALSTREAM_DATA")
    ] = Path("../shared/data"),
    name: Annotated[Literal["a", "b", "c"], typer.Option("--set", help="Set of PhysioNet 2012.")] = "b",
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Speed, as a multiple of the recorded one. [default: as fast as possible]"
        ),
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S"],
            help="When the stays begin, UTC. [default: so that the last event is now]",
        ),
    ] = None,
    stagger: Annotated[
        float, typer.Option(min=0, help="Minutes between the admissions of two patients.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Send recorded stays: the events of all patients, interleaved in order of time, with values as recorded.

    Each stay is an admission, followed by an observation for each minute in which something was measured. The
    topic must exist: see vitalstream topics create.
    """
    partitions(settings, settings.observations_topic)
    try:
        stays = physionet2012.read(data, name)
    except DatasetError as error:
        raise DataError(str(error)) from error
    stagger_ms = int(stagger * 60_000)
    span_ms = RecordedFeed(stays, 0, stagger_ms).end_ms
    start_ms = _millis(start) if start else int(time.time() * 1000) - span_ms
    recorded = RecordedFeed(stays, start_ms, stagger_ms, settings.observations_topic)
    pace = Pace(start_ms, speed) if speed else None
    stop = stop_on_signals()
    with closing(make_sink(settings)) as sink, DeliveryCount(f"replay {name}", len(recorded)) as counter:
        deliver(recorded, sink, stop, counter.add, pace, recorded.end_ms)
    counter.conclude(len(stays), as_json)


def _millis(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)
