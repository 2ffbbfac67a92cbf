"""The board on the user's screen: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from bisect import bisect_right
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from stream.assess.news2 import BANDS
from stream.errors import DataError
from stream.ward.board import Board
from stream.ward.patient import Bed
from stream.ward.svg import as_svg
from stream.ward.terminal import Status, picture

PLAIN_EVERY_S = 5.0
SAVED_WIDTH, SAVED_HEIGHT = 120, 32


def points(sign: str, value: float) -> int:
    """NEWS2 points of a vital sign; 0 for one that NEWS2 does not have."""
    band = BANDS.get(sign)
    return band.points[bisect_right(band.edges, value)] if band else 0


class Screen:
    """Shows a board again and again. Without a terminal it prints one plain line every few seconds: no
    control codes, no patients."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._told = time.monotonic()
        self._last = Board(), Status("")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, board: Board, status: Status) -> None:
        self._last = board, status
        if self._live:
            width, height = self._console.size
            self._live.update(picture(board, status, points, width, height - 1), refresh=True)
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            self._console.print(line(board, status), highlight=False, soft_wrap=True)

    def save(self, path: Path) -> None:
        """Write what was shown last as an SVG file. Raises `DataError`."""
        view = picture(*self._last, points, SAVED_WIDTH, SAVED_HEIGHT)
        try:
            path.write_text(as_svg(view, "vitalstream", SAVED_WIDTH), "utf-8")
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from error


def line(board: Board, status: Status) -> str:
    """The status in one line."""
    figures = [f"{label} {number}" for label, number in status.figures]
    worst = next((bed.risk for bed in board.beds() if bed.risk is not None), None)
    highest = [] if worst is None else [f"highest risk {100 * worst:.1f}%"]
    note = [status.note] if status.note else []
    return f"{status.title}: " + ", ".join([f"{len(board)} patients", *figures, *highest, *note])


def as_object(board: Board) -> dict[str, Any]:
    """The board for scripts, the highest risk first."""
    return {"observed_at": board.now_ms, "patients": [_bed(bed) for bed in board.beds()]}


def _bed(bed: Bed) -> dict[str, Any]:
    return {
        "patient_id": bed.patient_id,
        "encounter_id": bed.encounter_id,
        "unit": bed.unit,
        "bed": bed.bed,
        "observed_at": bed.seen_at,
        "risk": bed.risk,
        "change": round(bed.trend.change(), 6),
        "news2": None if bed.news2 is None else {"score": bed.news2, "complete": bed.complete},
        "state": {"events": bed.events, "warm": bed.warm, "late": bed.late, "stale": list(bed.stale)},
        "vitals": bed.vitals,
        "measured_at": bed.measured_at,
    }
