"""The board's picture in a terminal. Pure: a board goes in, something that rich can print comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.web.board import BUCKETS, DIASTOLIC, Bed, Board

Points = Callable[[str, float], int]
"""NEWS2 points of a sign's value."""

SPARKS = "▁▂▃▄▅▆▇█"
BAR_CELLS = 8
NARROW_TREND = 8
PATIENT_CELLS = 10
WIDE = 120
ROWS_AROUND = 9
"""Lines of the picture that are not patients."""

SHORT = {
    "heart_rate": "HR",
    "systolic_pressure": "BP",
    "respiratory_rate": "RR",
    "oxygen_saturation": "SpO2",
    "temperature": "Temp",
    "consciousness": "GCS",
}
HIGH_RISK, RAISED_RISK = 0.5, 0.15
"""For the colour of the bar alone; the model's probabilities have no clinical thresholds."""
HIGH_NEWS2, RAISED_NEWS2, ALONE = 7, 5, 3
"""Royal College of Physicians, NEWS2 (2017): emergency response, urgent response, one parameter alone."""
SILENT_MS = 7_200_000
"""As vital signs: a patient without any event for so long is unknown."""
RISING = 0.02
"""Change of the risk over the trend that earns an arrow."""


@dataclass(frozen=True, slots=True)
class Status:
    """What stands around the table. figures: label, number. progress: 0 to 1, None where there is no end.
    note: stands beside the progress bar."""

    title: str
    figures: Sequence[tuple[str, str]] = field(default_factory=tuple)
    progress: float | None = None
    note: str = ""


def picture(board: Board, status: Status, points: Points, width: int, height: int) -> RenderableType:
    """The whole view, no more than `height` lines of `width` columns."""
    beds = board.beds()
    shown = beds[: max(1, height - ROWS_AROUND)]
    parts: list[RenderableType] = [_heading(board, status, width), table(shown, board.now_ms, points, width)]
    if len(shown) < len(beds):
        parts.append(Text(f"  … and {len(beds) - len(shown)} patients of lower risk", style="dim"))
    parts.append(_footing(status))
    parts.append(_legend(width))
    return Group(*parts)


def table(beds: Sequence[Bed], now_ms: int, points: Points, width: int) -> Table:
    """One row for each bed, in the given order; fewer columns where `width` is below `WIDE`."""
    wide = width >= WIDE
    grid = Table(box=None, padding=(0, 1 if wide else 0, 0, 1), header_style="bold")
    for title, least in _columns(wide):
        left = title in ("Patient", "Trend", "")
        grid.add_column(title, justify="left" if left else "right", no_wrap=True, min_width=least)
    grid.add_column("Not measured", no_wrap=True, overflow="ellipsis")
    for bed in beds:
        cells = [*_risk(bed, now_ms, wide), _news2(bed), *_vitals(bed, points, wide)]
        if wide:
            cells.append(_seen(bed, now_ms))
        grid.add_row(Text(bed.patient_id), *cells, _stale(bed))
    return grid


def _columns(wide: bool) -> list[tuple[str, int]]:
    """Titles, and the cells below which a column is not squeezed."""
    trend = [("", BAR_CELLS), ("Trend", BUCKETS)] if wide else [("Trend", NARROW_TREND)]
    columns = [("Patient", PATIENT_CELLS), ("Risk", 7), *trend, ("±", 3), ("NEWS2", 5), ("HR", 4), ("BP", 8)]
    columns += [("RR", 3), ("SpO2", 4), ("Temp", 5)]
    return columns + ([("GCS", 3), ("Seen", 6)] if wide else [])


def _risk(bed: Bed, now_ms: int, wide: bool) -> list[Text]:
    if bed.risk is None:
        return [Text("–", style="dim")] + [Text("")] * (3 if wide else 2)
    style = risk_style(bed, now_ms)
    silent = now_ms - bed.seen_at >= SILENT_MS
    number = Text(f"{'' if bed.warm else '~'}{100 * bed.risk:.1f}%{'?' if silent else ' '}", style=style)
    trend = Text(sparkline(bed.trend.levels())[0 if wide else -NARROW_TREND :], style=style)
    return [number, *([_bar(bed.risk, style)] if wide else []), trend, _arrow(bed.trend.change())]


def risk_style(bed: Bed, now_ms: int) -> str:
    """Green is only for a low risk that rests on enough, and fresh, measurements, and that NEWS2 does not
    contradict: silence is no comfort."""
    if bed.risk is None or now_ms - bed.seen_at >= SILENT_MS:
        return "dim"
    if bed.risk >= RAISED_RISK:
        return "bold red" if bed.risk >= HIGH_RISK else "yellow"
    reassuring = bed.warm and not bed.stale and (bed.news2 or 0) < RAISED_NEWS2
    return "green" if reassuring else ""


def _bar(risk: float, style: str) -> Text:
    full = max(1, round(risk * BAR_CELLS))
    return Text("█" * full, style=style).append("·" * (BAR_CELLS - full), style="dim")


def _arrow(change: float) -> Text:
    if abs(change) < RISING:
        return Text("")
    return Text(
        f"{'▲' if change > 0 else '▼'}{100 * abs(change):.0f}", style="red" if change > 0 else "green"
    )


def sparkline(levels: Sequence[float]) -> str:
    """One character a level, aligned to the right; heights from the lowest level to the highest, and over
    no less than a tenth of probability, so that noise stays flat."""
    if not levels:
        return ""
    low = min(levels)
    span = max(max(levels) - low, 0.1)
    heights = (round((level - low) / span * (len(SPARKS) - 1)) for level in levels)
    return "".join(SPARKS[height] for height in heights).rjust(BUCKETS)


def _news2(bed: Bed) -> Text:
    if bed.news2 is None:
        return Text("–", style="dim")
    style = "bold red" if bed.news2 >= HIGH_NEWS2 else "yellow" if bed.news2 >= RAISED_NEWS2 else ""
    return Text(f"{bed.news2}{' ' if bed.complete else '+'}", style=style)


def _vitals(bed: Bed, points: Points, wide: bool) -> list[Text]:
    signs = ["heart_rate", "systolic_pressure", "respiratory_rate", "oxygen_saturation", "temperature"]
    return [_vital(bed, sign, points) for sign in signs + (["consciousness"] if wide else [])]


def _vital(bed: Bed, sign: str, points: Points) -> Text:
    value = bed.vitals.get(sign)
    if value is None:
        return Text("–", style="dim")
    shown = f"{value:.1f}" if sign == "temperature" else f"{value:.0f}"
    if sign == "systolic_pressure":
        shown += f"/{bed.vitals[DIASTOLIC]:.0f}" if DIASTOLIC in bed.vitals else "/–"
    if sign in bed.stale:
        return Text(f"{shown}?", style="dim italic")
    alarming = points(sign, value)
    style = "bold red" if alarming >= ALONE else "yellow" if alarming == ALONE - 1 else ""
    return Text(f"{shown}{'!' if alarming >= ALONE else ' '}", style=style)


def _seen(bed: Bed, now_ms: int) -> Text:
    minutes = (now_ms - bed.seen_at) // 60_000
    if minutes < 1:
        return Text("now", style="dim")
    return Text(f"{minutes} min" if minutes < 120 else f"{minutes // 60} h", style="yellow")


def _stale(bed: Bed) -> Text:
    return Text(" ".join(SHORT.get(sign, sign) for sign in bed.stale), style="magenta")


def _heading(board: Board, status: Status, width: int) -> RenderableType:
    heading = Table.grid(expand=True)
    heading.add_column(no_wrap=True)
    heading.add_column(justify="right", no_wrap=True)
    risk = f"  risk: {board.target.replace('_', ' ')}" if board.target else ""
    model = f"  model: {board.model}" if board.model and width >= WIDE else ""
    heading.add_row(
        Text.assemble((" vitalstream ", "bold reverse"), f" {status.title}"),
        Text(f"{len(board)} patients{risk}{model} ", style="dim"),
    )
    return Group(heading, Text(""))


def _footing(status: Status) -> RenderableType:
    figures = Text("\n", no_wrap=True, overflow="ellipsis")
    for label, number in status.figures:
        figures.append(f" {label} ", style="dim").append(f"{number} ", style="bold")
    if status.progress is None:
        return figures
    line = Table.grid(padding=(0, 1))
    line.add_row("", ProgressBar(completed=100.0 * min(1.0, status.progress), width=40), status.note)
    return Group(figures, line)


def _legend(width: int) -> Text:
    text = " + at least   ! alarming by itself   ? too old   ~ few events yet"
    more = "   Research and engineering use; not a medical device"
    return Text(text + (more if width >= WIDE else ""), style="dim", no_wrap=True, overflow="ellipsis")
