"""`vitalstream simulate`: a synthetic ward → Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, Any

import typer

from stream.console.options import KAFKA, Json, takes_settings
from stream.console.stopping import stop_on_signals
from stream.kafka.clients import make_sink
from stream.kafka.tail import partitions
from stream.settings import Settings
from stream.synthetic.delivery import FOREVER_MS, DeliveryCount, deliver
from stream.synthetic.faults import AS_IN_LIFE, Faulty, Shares
from stream.synthetic.pacing import Pace
from stream.synthetic.simulator import Ward

CATCH_UP_HOURS = 24.0
FAULTS = "What goes wrong"


def _share(of: str) -> Any:
    return typer.Option(min=0, max=1, help=of, rich_help_panel=FAULTS)


@takes_settings(*KAFKA, "observations_topic")
def simulate(
    settings: Settings,
    patients: Annotated[int, typer.Option(min=1, help="Number of patients on the ward.")] = 60,
    interval: Annotated[float, typer.Option(min=0.001, help="Seconds between a patient's events.")] = 1.0,
    speed: Annotated[
        float, typer.Option(min=0.001, help="Speed of the ward, as a multiple of real time.")
    ] = 1.0,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="End after this many seconds. [default: never]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same ward.")] = 1,
    clean: Annotated[
        bool, typer.Option("--clean", help="Nothing goes wrong.", rich_help_panel=FAULTS)
    ] = False,
    late: Annotated[
        float, _share("Share of the laboratory results that arrive minutes to hours late.")
    ] = AS_IN_LIFE.late,
    late_discharges: Annotated[
        float, _share("Share of the discharges that arrive late, perhaps after the next admission.")
    ] = AS_IN_LIFE.late_discharges,
    repeated: Annotated[
        float, _share("Share of the records that are sent again, alone or in windows of up to 20.")
    ] = AS_IN_LIFE.repeated,
    swapped: Annotated[
        float, _share("Share of the observations that are sent after the patient's next one.")
    ] = AS_IN_LIFE.swapped,
    bad_fields: Annotated[
        float, _share('Share of the observations with a value such as "98%", null or "37,0".')
    ] = AS_IN_LIFE.bad_fields,
    unreadable: Annotated[
        float, _share("Share of the records that are sent again, spoiled so that they cannot be read.")
    ] = AS_IN_LIFE.unreadable,
    clock_resets: Annotated[
        float, _share("Share of the observations from a device whose clock was reset to the year 2000.")
    ] = AS_IN_LIFE.clock_resets,
    cancelled: Annotated[
        float, _share("Share of the observations after which the patient is discharged by mistake.")
    ] = AS_IN_LIFE.cancelled,
    as_json: Json = False,
) -> None:
    """Send the events of a synthetic ward.

    Patients are admitted; some deteriorate, even to cardiac arrest, are moved, recover or die; they are
    discharged, and others take their places. Some records arrive late, twice, in the wrong order or spoiled;
    the summary reports how many. With --clean none do.

    Event time never passes the clock. A ward that is faster than real time begins in the past: with --for so
    that it ends now; without --for 24 hours ago, and once it has reached the present it continues in real
    time.
    """
    partitions(settings, settings.observations_topic)
    stop = stop_on_signals()
    now = time.time() * 1000
    ahead = seconds * (speed - 1) * 1000 if seconds is not None else CATCH_UP_HOURS * 3_600_000
    start_ms = int(now - ahead) if speed > 1 else int(now)
    until_ms = FOREVER_MS if seconds is None else start_ms + int(seconds * speed * 1000)
    ward = Ward(patients, seed, start_ms, interval, topic=settings.observations_topic)
    shares = Shares(late, late_discharges, repeated, swapped, bad_fields, unreadable, clock_resets, cancelled)
    faulty = Faulty(ward, Shares() if clean else shares, seed)
    total = None if seconds is None else ward.due(until_ms)
    with closing(make_sink(settings)) as sink, DeliveryCount("simulate", total) as counter:
        deliver(ward if clean else faulty, sink, stop, counter.add, Pace(start_ms, speed), until_ms)
    counter.conclude(ward.admissions, as_json, faulty.counts)
