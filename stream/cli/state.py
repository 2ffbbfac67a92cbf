"""`vitalstream state`: shows what the changelog holds, checks it, and moves it to another cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stream.console.options import KAFKA, Json, takes_settings
from stream.errors import StateError, VitalstreamError
from stream.inspect import snapshot as state_file
from stream.inspect.changelog import all_sound, load_states, read_changelog
from stream.inspect.describe import (
    described,
    fault_lines,
    moment,
    partition_row,
    partitions_table,
    report_object,
    state_lines,
)
from stream.inspect.restore_snapshot import write_states
from stream.inspect.verify import check
from stream.readable import readable
from stream.settings import Settings
from stream.state.changelog import Patients
from stream.worker.assembly import load_model

STATES = (*KAFKA, "observations_topic", "model")
DECODING = ("scores_topic", "dead_letters_topic", "device", "threads", "processing_guarantee")
REPLAYING = (
    "transaction_timeout", "expire_after", "max_batch", "max_event_bytes", "max_future", "max_past",
    "discharge_grace", "misplaced_records",
)  # fmt: skip
app = typer.Typer(
    help="The patients' states in the changelog: list, show, verify against the input, move to another "
    "cluster. Only `import` changes anything. Exit codes: 1 no such patient, 3 Kafka, 4 model, 5 a file that "
    "cannot be read or written, 6 state that is damaged, belongs to another model, or is not what a replay "
    "of the input produces.",
    no_args_is_help=True,
)


@app.command("ls")
@takes_settings(*STATES)
def list_(
    settings: Settings,
    patients: Annotated[
        bool,
        typer.Option(
            "--patients", help="List each patient too: id, partition, events, time of the last one."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the partitions and how many patients each has.

    The next offset of the input is taken from the changelog, the committed one from the group; a worker can
    continue if both are the same. The stream time is that of the latest event. The exit code is 6 if a record
    cannot be read.
    """
    model, changelog = load_states(settings)
    read = read_changelog(settings, changelog)
    contents = all_sound(changelog, read)
    rows = {partition: partition_row(read[partition], each) for partition, each in contents.items()}
    total = sum(len(each.patients) for each in contents.values())
    who = (
        [entry for partition, each in contents.items() for entry in _who(partition, each.patients)]
        if patients
        else []
    )
    if as_json:
        shown: dict[str, Any] = {"changelog": changelog.topic, "model": model.hash, "patients": total}
        shown["partitions"] = [{"partition": partition, **row} for partition, row in rows.items()]
        typer.echo(json.dumps(shown | ({"states": who} if patients else {})))
        return
    Console().print(partitions_table(rows))
    typer.echo(f"{total:,} patients in {changelog.topic}, model {model.hash[:16]}")
    for entry in who:
        typer.echo(
            "\t".join(
                (readable(entry["patient_id"]), f"{entry['partition']}", f"{entry['events']}", entry["last"])
            )
        )


@app.command()
@takes_settings(*STATES)
def show(
    settings: Settings,
    patient: Annotated[
        str,
        typer.Argument(
            help="The patient id; - reads it from standard input, so that no process list shows it."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show one patient's state in clinical terms.

    Shows the stay, each variable's last value and the hours from it to the last event, and the static
    features. The exit code is 1 if there is no such patient.
    """
    wanted = (sys.stdin.readline().rstrip("\r\n") if patient == "-" else patient).encode()
    model, changelog = load_states(settings)
    states: list[dict[str, Any]] = []
    for partition, each in read_changelog(settings, changelog).items():
        if (value := each.latest.get(wanted)) is not None:
            decoded = changelog.patients({wanted: value})
            states += [
                {"partition": partition, **described(model, row, stay, text)}
                for row, stay, text in zip(decoded.rows, decoded.stays, decoded.texts, strict=True)
            ]
    if not states:
        raise VitalstreamError(f"{changelog.topic} has no state of this patient")
    if as_json:
        typer.echo(json.dumps({"model": model.hash, "states": states}))
        return
    for line in state_lines(states):
        typer.echo(line)
    typer.echo(f"model {model.hash}")


@app.command()
@takes_settings(*STATES, *DECODING, *REPLAYING)
def verify(
    settings: Settings,
    imported: Annotated[
        Path | None, typer.Option(help="The file from which this changelog was imported, if it was.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the states, down to a replay of the input.

    Checks every record, each partition's progress against the group's committed offset, the numbers of
    partitions and, if the input is retained from its first offset, the states against those that a replay
    produces. Give it the worker's settings. Workers may run meanwhile, except with at_least_once, whose
    epochs would be seen half written. If anything differs, the exit code is 6 and the kinds are counted.
    """
    model = load_model(settings)
    base = state_file.read(imported, model.hash, model.state_size) if imported else None
    report = check(settings, model, base)
    shown = report_object(report)
    if as_json:
        typer.echo(json.dumps(shown))
    else:
        Console().print(partitions_table({row["partition"]: row for row in shown["partitions"]}))
        for line in fault_lines(report):
            typer.echo(line)
    if report.faults:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.faults.items())
        raise StateError(
            f"{settings.changelog_topic} is not as it should be: {kinds}. If the states were imported, give "
            "--imported; otherwise replay the input under a new application_id"
        )
    if not as_json:
        typer.echo(f"ok       {settings.changelog_topic}: nothing differs")


@app.command()
@takes_settings(*STATES)
def export(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="File to create; an existing file is not overwritten.")],
    as_json: Json = False,
) -> None:
    """Write all states to a safetensors file.

    The file holds patients' ids and values; only you can read it. Stop the workers first, so that it holds
    their last states. The exit code is 5 if the file cannot be written, and 6 if a record cannot be read.
    """
    model, changelog = load_states(settings)
    contents = all_sound(changelog, read_changelog(settings, changelog))
    checkpoints = {partition: each.checkpoint for partition, each in contents.items() if each.checkpoint}
    states = state_file.gathered(
        model.hash, {partition: each.patients for partition, each in contents.items()}, checkpoints
    )
    state_file.write(file, states)
    count = len(states.patients)
    figures = {"patients": count, "partitions": len(contents)}
    typer.echo(json.dumps(figures) if as_json else f"{count:,} patients written to {file}")


@app.command("import")
@takes_settings(*STATES, "processing_guarantee", "transaction_timeout")
def import_(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    as_json: Json = False,
) -> None:
    """Begin with the states of another cluster.

    The input of this cluster is read from the beginning: the first offset of each partition is committed for
    the group, and no event of it counts as applied. Patients go to the partition of their key (murmur2). The
    exit code is 6 if the changelog holds anything, the group has members, or the file belongs to another
    model, and 5 if the file is damaged.
    """
    model, changelog = load_states(settings)
    states = state_file.read(file, model.hash, model.state_size)
    partitions = write_states(settings, changelog, states)
    figures = {"patients": len(states.patients), "partitions": partitions}
    typer.echo(
        json.dumps(figures)
        if as_json
        else f"{len(states.patients):,} patients in {partitions} partitions of {changelog.topic}"
    )


def _who(partition: int, patients: Patients) -> list[dict[str, Any]]:
    rows = zip(patients.ids, patients.stays, strict=True)
    return [
        {
            "patient_id": patient_id.decode("utf-8", "backslashreplace"),
            "partition": partition,
            "events": int(stay["events"]),
            "observed_at": int(stay["observed_at"]),
            "last": moment(int(stay["observed_at"])),
        }
        for patient_id, stay in rows
    ]
