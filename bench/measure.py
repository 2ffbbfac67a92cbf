"""Timing, tables and result files that the benchmarks share."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu_pressure": _pressure(),
    }


def _pressure() -> float | None:
    """Percent of the last minute in which something waited for a core: how busy others kept the machine."""
    pressure = Path("/proc/pressure/cpu")
    if not pressure.exists():
        return None
    return float(pressure.read_text().split("avg60=")[1].split()[0])


def interleaved(
    candidates: Mapping[str, Callable[[], object]], events: int, rounds: int, repeats: int
) -> dict[str, dict[str, float]]:
    """CPU µs an event, all threads, of each candidate: `rounds` times in turn, each the mean of `repeats`
    calls on `events` after one that is not counted.

    In turn, and CPU time rather than wall, since other programs share the machine.
    """
    seen: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            call()
            begin = time.process_time()
            for _ in range(repeats):
                call()
            seen[name].append((time.process_time() - begin) / (repeats * events) * 1e6)
    return {
        name: {"median_us": statistics.median(runs), "min_us": min(runs), "max_us": max(runs)}
        for name, runs in seen.items()
    }


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def write(name: str | None, title: str, text: str, figures: Mapping[str, Any]) -> None:
    """Print the table; write `results/<name>.md` and `results/<name>.json` if there is a name."""
    print(f"{title}\n\n{text}")
    if name is None:
        return
    RESULTS.mkdir(exist_ok=True)
    facts = machine()
    where = f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}"
    if facts["cpu_pressure"] is not None:
        where += f"; in the last minute something waited for a core {facts['cpu_pressure']:.0f} % of the time"
    (RESULTS / f"{name}.md").write_text(f"# {title}\n\nMeasured on: {where}.\n\n{text}")
    report = {"machine": facts, **figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
