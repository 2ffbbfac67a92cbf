"""The board's picture in a terminal. Pure: a board goes in, something that rich can print comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from rich.cells import cell_len, chop_cells
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.readable import readable
from stream.ward.board import Board
from stream.ward.patient import DIASTOLIC, Bed
from stream.ward.trend import BUCKETS

Points = Callable[[str, float], int]
"""NEWS2 points of a sign's value."""

SPARKS = "▁▂▃▄▅▆▇█"
BAR_CELLS = 8
NARROW_TREND = 8
NARROW, WIDE = 80, 120
"""Columns from which on everything of the narrow and of the wide table has its place."""
PATIENT_LEAST, PATIENT_MOST, PATIENT_LONGEST = 10, 14, 36
"""Cells of an id: at least; at most in the narrowest terminal; at most in any, which is a UUID's length."""
PLACE_CELLS = 8
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
    """What stands around the table. figures: label, number. progress: 0 to 1, None if there is no end.
    note: stands beside the progress bar."""

    title: str
    figures: Sequence[tuple[str, str]] = field(default_factory=tuple)
    progress: float | None = None
    note: str = ""


def picture(board: Board, status: Status, points: Points, width: int, height: int) -> RenderableType:
    """The whole view, no more than `height` lines of `width` columns."""
    beds = _urgent_first(board.beds(), points)
    shown = beds[: max(1, height - ROWS_AROUND)]
    parts: list[RenderableType] = [_heading(board, status, width), table(shown, board.now_ms, points, width)]
    if len(shown) < len(beds):
        parts.append(_hidden(beds[len(shown) :], points))
    parts.append(_footing(status))
    parts.append(_legend(width))
    return Group(*parts)


def table(beds: Sequence[Bed], now_ms: int, points: Points, width: int) -> Table:
    """One row for each bed, the urgent ones first, the others in the given order; fewer columns if `width` is
    below `WIDE`."""
    wide = width >= WIDE
    placed = any(bed.unit or bed.bed for bed in beds)
    longest = min(PATIENT_LONGEST, max(PATIENT_LEAST, PATIENT_MOST + width - (WIDE if wide else NARROW)))
    columns = _columns(wide, placed)
    grid = Table(box=None, padding=(0, 1 if wide else 0, 0, 1), header_style="bold")
    grid.add_column("Patient", no_wrap=True, min_width=PATIENT_LEAST)
    for title, least in columns:
        left = title in ("Bed", "Trend", "")
        grid.add_column(title, justify="left" if left else "right", no_wrap=True, min_width=least)
    grid.add_column("Not measured", no_wrap=True, overflow="ellipsis")
    for bed in _urgent_first(beds, points):
        cells = {"Bed": Text(_place(bed, PLACE_CELLS))} | _risk(bed, now_ms, points, wide)
        cells |= {"NEWS2": _news2(bed, points)} | _vitals(bed, points) | {"Seen": _seen(bed, now_ms)}
        grid.add_row(Text(cut(bed.patient_id, longest)), *(cells[title] for title, _ in columns), _stale(bed))
    return grid


def _urgent_first(beds: Sequence[Bed], points: Points) -> list[Bed]:
    return sorted(beds, key=lambda bed: not _urgent(bed, points))


def _urgent(bed: Bed, points: Points) -> bool:
    """Whether NEWS2 asks for an urgent review, or more, whatever the risk: the model was shown no value that
    it cannot have learnt from, such as those of an arrest."""
    return (bed.news2 or 0) >= HIGH_NEWS2 or _alarming(bed, points)


def _alarming(bed: Bed, points: Points) -> bool:
    """Whether a sign that is not stale is alarming by itself."""
    return any(points(sign, value) >= ALONE for sign, value in bed.vitals.items() if sign not in bed.stale)


def _hidden(beds: Sequence[Bed], points: Points) -> Text:
    urgent = sum(_urgent(bed, points) for bed in beds)
    text = f"  … and {len(beds)} more patients"
    if not urgent:
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
    return Text(
        f"{text}, {urgent} of them urgent by NEWS2", style="yellow", no_wrap=True, overflow="ellipsis"
    )


def _columns(wide: bool, placed: bool) -> list[tuple[str, int]]:
    """Titles, and the cells below which a column is not squeezed. If units or beds are known they take the
    place of what says the least beside the risk: the bar, in a narrow terminal the trend."""
    first = [("Bed", PLACE_CELLS)] if placed else []
    bar, trend = [("", BAR_CELLS)], [("Trend", BUCKETS if wide else NARROW_TREND)]
    kept = (trend if placed else bar + trend) if wide else ([] if placed else trend)
    columns = [*first, ("Risk", 7), *kept, ("±", 3), ("NEWS2", 5), ("HR", 4), ("BP", 8)]
    columns += [("RR", 3), ("SpO2", 4), ("Temp", 5)]
    return columns + ([("GCS", 3), ("Seen", 6)] if wide else [])


def cut(text: str, cells: int) -> str:
    """The text as it can be shown, in no more than so many cells: both ends of it, since numbers in a row
    differ in the last digits."""
    shown = readable(text)
    if cell_len(shown) <= cells:
        return shown
    tail = (cells - 1) // 2
    end = chop_cells(shown[::-1], tail)[0][::-1] if tail else ""
    return f"{chop_cells(shown, cells - 1 - tail)[0]}…{end}"


def _place(bed: Bed, cells: int) -> str:
    """Unit and bed; if both do not fit, the unit is cut: on one ward the beds differ."""
    if not (bed.unit and bed.bed):
        return cut(bed.unit or bed.bed or "", cells)
    number = cut(bed.bed, cells)
    left = cells - cell_len(number) - 1
    return f"{cut(bed.unit, left)}/{number}" if left > 1 else number


def _risk(bed: Bed, now_ms: int, points: Points, wide: bool) -> dict[str, Text]:
    """By title."""
    if bed.risk is None:
        return {"Risk": Text("–", style="dim")} | dict.fromkeys(("", "Trend", "±"), Text(""))
    style = risk_style(bed, now_ms, points)
    silent = now_ms - bed.seen_at >= SILENT_MS
    number = Text(f"{'' if bed.warm else '~'}{100 * bed.risk:.1f}%{'?' if silent else ' '}", style=style)
    trend = Text(sparkline(bed.trend.levels())[0 if wide else -NARROW_TREND :], style=style)
    return {
        "Risk": number,
        "": _bar(bed.risk, style),
        "Trend": trend,
        "±": _arrow(bed.trend.change()),
    }


def risk_style(bed: Bed, now_ms: int, points: Points) -> str:
    """Green is only for a low risk that rests on enough, and fresh, measurements, and that neither NEWS2 nor
    a single sign contradicts: silence is no comfort."""
    if bed.risk is None or now_ms - bed.seen_at >= SILENT_MS:
        return "dim"
    if bed.risk >= RAISED_RISK:
        return "bold red" if bed.risk >= HIGH_RISK else "yellow"
    contradicted = (bed.news2 or 0) >= RAISED_NEWS2 or _alarming(bed, points)
    return "green" if bed.warm and not bed.stale and not contradicted else ""


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


def _news2(bed: Bed, points: Points) -> Text:
    if bed.news2 is None:
        return Text("–", style="dim")
    raised = bed.news2 >= RAISED_NEWS2 or _alarming(bed, points)
    style = "bold red" if bed.news2 >= HIGH_NEWS2 else "yellow" if raised else ""
    return Text(f"{bed.news2}{' ' if bed.complete else '+'}", style=style)


def _vitals(bed: Bed, points: Points) -> dict[str, Text]:
    """By title."""
    return {title: _vital(bed, sign, points) for sign, title in SHORT.items()}


def _vital(bed: Bed, sign: str, points: Points) -> Text:
    value = bed.vitals.get(sign)
    if value is None:
        return Text("–", style="dim")
    shown = charted(value, "0.1" if sign == "temperature" else "1")
    if sign == "systolic_pressure":
        shown += f"/{charted(bed.vitals[DIASTOLIC])}" if DIASTOLIC in bed.vitals else "/–"
    if sign in bed.stale:
        return Text(f"{shown}?", style="dim italic")
    alarming = points(sign, value)
    style = "bold red" if alarming >= ALONE else "yellow" if alarming == ALONE - 1 else ""
    return Text(f"{shown}{'!' if alarming >= ALONE else ' '}", style=style)


def charted(value: float, step: str = "1") -> str:
    """Rounded half up, as NEWS2's bands are meant: what is shown as 20 is not scored as 21."""
    return str(Decimal(str(value)).quantize(Decimal(step), ROUND_HALF_UP))


def _seen(bed: Bed, now_ms: int) -> Text:
    minutes = (now_ms - bed.seen_at) // 60_000
    if minutes < 1:
        return Text("now", style="dim")
    return Text(f"{minutes} min" if minutes < 120 else f"{minutes // 60} h", style="yellow")


def _stale(bed: Bed) -> Text:
    return Text(" ".join(SHORT.get(sign) or readable(sign) for sign in bed.stale), style="magenta")


def _heading(board: Board, status: Status, width: int) -> RenderableType:
    heading = Table.grid(expand=True)
    heading.add_column(no_wrap=True)
    heading.add_column(justify="right", no_wrap=True)
    risk = f"  risk: {readable(board.target).replace('_', ' ')}" if board.target else ""
    model = f"  model: {readable(board.model)}" if board.model and width >= WIDE else ""
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
