"""Sends a feed to a sink, at its pace, and reports how far it is."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stream.columns.records import Outgoing
from stream.kafka.sink import Sink
from stream.synthetic.pacing import EventFeed, Pace

BATCH = 8192
WAIT_S = 0.02
FLUSH_TIMEOUT_S = 30.0
PLAIN_EVERY_S = 5.0
FOREVER_MS = 1 << 62


def deliver(
    feed: EventFeed,
    sink: Sink,
    stop: threading.Event,
    sending: Callable[[Outgoing], None],
    pace: Pace | None = None,
    until_ms: int = FOREVER_MS,
) -> None:
    """Send what happens until `until_ms`, each event when `pace` says so (None: at once), until `stop` is
    set; then wait until it is acknowledged. `sending` sees each batch just before it is sent. Raises
    `BrokerError`."""
    while not stop.is_set():
        now = min(pace.now_ms(), until_ms) if pace else until_ms
        batch = feed.tick(now, BATCH)
        if len(batch):
            sending(batch)
            sink.send(batch)
        elif now >= until_ms or pace is None:
            break
        else:
            sink.service()
            stop.wait(WAIT_S)
    sink.flush(FLUSH_TIMEOUT_S)


class DeliveryCount:
    """Events sent so far, on standard error: a bar on a terminal, a plain line now and then elsewhere.

    total: events in all, None if there is no end.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self.events = 0
        self._label, self._total = label, total
        self._begun = self._told = time.monotonic()
        self._bar = _bar(total) if sys.stderr.isatty() else None
        self._task = self._bar.add_task(label, total=total, rate="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @property
    def rate(self) -> float:
        """Events a second since the start."""
        return self.events / max(self.seconds, 1e-9)

    def add(self, batch: Outgoing) -> None:
        self.events += len(batch)
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.events, rate=f"{self.rate:,.0f}/s")
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            of = f" of {self._total:,}" if self._total else ""
            typer.echo(f"{self._label}: {self.events:,}{of} events, {self.rate:,.0f}/s", err=True)

    def conclude(self, patients: int, as_json: bool, faults: Mapping[str, int] | None = None) -> None:
        """Print what was sent, on standard output; `faults`, how many of each went wrong, with it."""
        seconds, rate = round(self.seconds, 3), round(self.rate, 1)
        if as_json:
            figures: dict[str, object] = {
                "events": self.events,
                "patients": patients,
                "seconds": seconds,
                "events_per_second": rate,
            }
            typer.echo(json.dumps(figures if faults is None else figures | {"faults": dict(faults)}))
        else:
            typer.echo(
                f"{self.events:,} events of {patients:,} patients in {seconds:,.1f} s ({rate:,.0f} events/s)"
            )
            if faults and any(faults.values()):
                typer.echo(f"of these: {in_words(faults)}")


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by name, those that are not 0: `late 12, bad fields 3`."""
    return ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in counts.items() if number)


def _bar(total: int | None) -> Progress:
    left = [TimeRemainingColumn()] if total else [TimeElapsedColumn()]
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    ]
    return Progress(*columns, *left, console=Console(stderr=True))
