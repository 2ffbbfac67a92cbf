"""A patient's state in clinical terms, and the tables of `vitalstream state`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from model.risk_model import RiskModel
from model.variables import STATICS, VARIABLES, Sex, UnitType
from stream.encode.scores import MEMBERS
from stream.inspect.changelog import Partition, Sound
from stream.inspect.verify import FAULTS, Checked, Report
from stream.state.changelog import Checkpoint
from stream.state.names import read
from stream.stays.record import VITALS

CODES = {"sex": Sex, "unit_type": UnitType}


def moment(ms: int | None) -> str | None:
    """ISO 8601, UTC, to the second; None for no time, and for 0, which no event has."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else None


def described(model: RiskModel, row: NDArray[np.float32], stay: np.void, texts: bytes) -> dict[str, Any]:
    """What a state says. row: float32 [D]. texts: of encounter, unit and bed. Hours since measured are those
    at the last event; `variables` is what the model carries, `vitals` what was last observed."""
    state = torch.from_numpy(np.array(row))[None]
    memory = model.memory(state)
    statics = model.features.decode(memory.statics)[0].tolist()
    columns = [
        part[0].tolist() for part in (memory.carried, memory.hours - memory.measured_at, memory.counts)
    ]
    return {
        "started_at": int(stay["started_at"]),
        "observed_at": int(stay["observed_at"]),
        "events": int(stay["events"]),
        "admitted": bool(stay["admitted_at"]),
        "closed_at": int(stay["closed_at"]) or None,
        **{name: text or None for name, text in zip(MEMBERS, read(texts), strict=True)},
        "next_offset": int(stay["next_offset"]),
        "hidden_norm": round(float(state[0, : model.shape.hidden_size].norm()), 6),
        "static": {name: _static(name, value) for name, value in zip(STATICS, statics, strict=True)},
        "vitals": {
            name: {"value": float(f"{value:.7g}"), "observed_at": at}
            for name, value, at in zip(
                VITALS, stay["vitals"].tolist(), stay["measured_at"].tolist(), strict=True
            )
            if at
        },
        "variables": {
            variable.name: {
                "value": float(f"{value:.7g}"),
                "unit": variable.unit,
                "hours_since": round(hours, 4),
                "count": int(count),
            }
            for variable, value, hours, count in zip(VARIABLES, *columns, strict=True)
            if count
        },
    }


def partition_row(read: Partition, sound: Sound) -> dict[str, Any]:
    """What `ls` reports of a partition."""
    return {"patients": len(sound.patients), **_progress(sound.checkpoint, read.committed)}


def report_object(report: Report) -> dict[str, Any]:
    """What `verify` found, without any patient's id."""
    return {
        "sound": not report.faults,
        "faults": dict(report.faults),
        "partitions": [
            {"partition": partition, **_checked(checked)} for partition, checked in report.partitions.items()
        ],
    }


def partitions_table(rows: Mapping[int, Mapping[str, Any]]) -> Table:
    """One line a partition, of `ls` or `verify`."""
    table = _table("partition", "patients", "next offset", "committed", "stream time", "replayed")
    if not any("replayed" in row for row in rows.values()):
        table = _table("partition", "patients", "next offset", "committed", "stream time")
    for partition, row in rows.items():
        cells = [_number(row[name]) for name in ("patients", "next_offset", "committed")]
        cells.append(moment(row["stream_time"]) or "–")
        if "replayed" in row:
            cells.append("checksums only" if row["replayed"] is None else f"{row['replayed']:,}")
        table.add_row(str(partition), *cells)
    return table


def state_lines(states: list[dict[str, Any]]) -> Iterator[str]:
    """`show` for people."""
    for state in states:
        yield (
            f"partition {state['partition']}, next offset {state['next_offset']}, {state['events']} events, "
            f"{'admitted' if state['admitted'] else 'no admission seen'}, |h| {state['hidden_norm']:.4f}"
        )
        yield f"stay from {moment(state['started_at'])} to {moment(state['observed_at'])}"
        known = [f"{name} {value}" for name, value in state["static"].items() if value is not None]
        yield f"static: {', '.join(known) or 'nothing is known'}"
        for name, variable in state["variables"].items():
            measured = f"{variable['hours_since']:9.2f} h before, {variable['count']} times"
            yield f"  {name:<12} {variable['value']:>10g} {variable['unit']:<14} {measured}"


def fault_lines(report: Report) -> Iterator[str]:
    for kind, count in report.faults.items():
        yield f"{count:>8,}  {FAULTS[kind]}"


def _progress(checkpoint: Checkpoint | None, committed: int | None) -> dict[str, int | None]:
    return {
        "next_offset": checkpoint.next_offset if checkpoint else None,
        "committed": committed,
        "stream_time": checkpoint.stream_time if checkpoint else None,
    }


def _checked(checked: Checked) -> dict[str, Any]:
    progress = _progress(checked.checkpoint, checked.committed)
    return {"patients": checked.patients, **progress, "replayed": checked.replayed}


def _static(name: str, value: float) -> float | str | None:
    if value != value:
        return None
    return CODES[name](int(value)).name.lower() if name in CODES else round(value, 2)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
