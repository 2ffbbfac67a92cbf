"""`vitalstream doctor`: what stands in the way of a worker, and what to do about it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib.metadata import version
from typing import NamedTuple, TypeVar

import typer

from stream.console.options import ALL, Json, takes_settings
from stream.errors import (
    BrokerError,
    BrokerUnavailable,
    ConnectionRefused,
    RefusalError,
    VitalstreamError,
)
from stream.inspect.keys import placed
from stream.inspect.rights import rights
from stream.kafka import topics
from stream.kafka.admin import Admin, partition_count
from stream.kafka.clients import make_admin, make_source
from stream.kafka.source import Source
from stream.settings import Settings
from stream.worker.assembly import choose_device, load_model

PATIENCE_S, RETRY_S = 15.0, 0.2
Answer = TypeVar("Answer")
LIBRARIES = ("torch", "confluent-kafka", "kafka-python", "numpy", "pydantic", "prometheus-client")
GAP = (
    "committed offsets are no longer retained, and the events between are lost: lengthen retention.ms; "
    "`vitalstream run --on-gap skip` continues at the earliest retained event"
)


class Finding(NamedTuple):
    """error: None if all is well, else what is wrong and what to do."""

    subject: str
    detail: str
    error: VitalstreamError | None = None


@takes_settings(*ALL)
def doctor(settings: Settings, as_json: Json = False) -> None:
    """Check versions, device, model, brokers, topics and rights. Each check prints a line: ok, or what to do.
    The exit code is that of the first check that fails."""
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            mark = (
                typer.style("ok   ", fg="green") if finding.error is None else typer.style("WRONG", fg="red")
            )
            typer.echo(f"{mark}  {finding.subject:<9} {finding.error or finding.detail}")
    if as_json:
        rows = [
            {"check": f.subject, "ok": f.error is None, "detail": str(f.error or f.detail)} for f in findings
        ]
        typer.echo(json.dumps(rows))
    for finding in findings:
        if finding.error is not None:
            raise typer.Exit(finding.error.exit_code)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; one that fails does not stop those that do not need it."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield Finding(
        "versions", f"vitalstream {version('vitalstream')}, Python {platform.python_version()}, {libraries}"
    )
    try:
        yield Finding("device", str(choose_device(settings.device)))
    except VitalstreamError as error:
        yield Finding("device", "", error)
    try:
        model = load_model(settings)
        yield Finding("model", f"{model.name}, target {model.target}, {model.hash[:16]}")
    except VitalstreamError as error:
        yield Finding("model", "", error)
    yield from _examine_kafka(settings)


def _examine_kafka(settings: Settings) -> Iterator[Finding]:
    """Ends with the first check that the cluster does not answer, or to which it refuses the connection."""
    try:
        with closing(make_admin(settings)) as admin:
            for subject, tried in _checks(settings, admin):
                try:
                    yield Finding(subject, tried())
                except (BrokerUnavailable, ConnectionRefused):
                    raise
                except BrokerError as error:
                    yield Finding(subject, "", error)
    except BrokerError as error:
        yield Finding("broker", "", error)


def _checks(settings: Settings, admin: Admin) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "broker", partial(_answers, settings, admin)
    yield "topics", partial(_as_wanted, settings, admin)
    yield "offsets", partial(_retained, settings, admin)
    yield "keys", partial(placed, settings)
    yield from rights(settings, admin)


def _answers(settings: Settings, admin: Admin) -> str:
    try:
        admin.topics([settings.observations_topic])
    except ConnectionRefused:
        raise
    except RefusalError:
        pass  # of the topic: another check's
    return f"{settings.bootstrap_servers} answers"


def _as_wanted(settings: Settings, admin: Admin) -> str:
    partitions = partition_count(admin, settings.observations_topic)
    faults = topics.examine(settings, admin)
    topics.refuse(faults)
    warnings = "; ".join(f"warning: {fault}" for fault in faults)
    return warnings or f"as they should be, {partitions} partitions each"


def _retained(settings: Settings, admin: Admin) -> str:
    group = settings.application_id
    _patiently(partial(admin.group, group))  # a refusal shows here at once
    partitions = partition_count(admin, settings.observations_topic)
    with closing(make_source(settings, group)) as source:
        source.assign(settings.observations_topic, dict.fromkeys(range(partitions), -2))
        behind = _patiently(partial(_behind, source, partitions))
    if behind:
        raise BrokerError(f"partitions {behind}: {GAP}")
    return f"group {group}: nothing committed is lost"


def _behind(source: Source, partitions: int) -> list[int]:
    """Partitions whose committed offset is not retained."""
    kept = source.beginning_offsets(range(partitions))
    return [p for p, offset in source.committed(range(partitions)).items() if offset < kept[p]]


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """A topic that is new has no leader yet, a group that is new no coordinator: for `PATIENCE_S` it is asked
    again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except BrokerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
