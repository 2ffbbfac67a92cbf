"""The plots of a report, as SVG. Colours: Okabe and Ito's, which the colour-blind can tell apart; lines also
differ in their dashes.

Okabe M, Ito K. Color Universal Design. 2008, jfly.uni-koeln.de/color.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.evaluate.alerts import LeadTime
from model.evaluate.bootstrap import Estimate
from model.evaluate.figures import AtHorizon, Figures

Drawn = TypeVar("Drawn")

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b6b6b"
SHOWN = ((6.0, GREEN, ":"), (24.0, ORANGE, "--"), (None, BLUE, "-"))
"""The horizons that curves are drawn of."""
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "vitalstream",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def svg(draw: Callable[[Drawn], Figure], what: Drawn) -> bytes:
    """The plot that one of this module's functions draws of `what`; the same bytes for the same figures."""
    with mpl.rc_context(STYLE):
        image = io.BytesIO()
        draw(what).savefig(image, format="svg", metadata=_NO_METADATA)
    return image.getvalue()


def name(hours: float | None) -> str:
    return "last score" if hours is None else f"{hours:g} h"


def ranking_by_time(figures: Figures) -> Figure:
    """AUROC and average precision at each horizon."""
    figure = Figure(figsize=(9, 3.3))
    left, right = figure.subplots(1, 2)
    names = [name(at.hours) for at in figures.horizons]
    for axes, title, estimates in (
        (left, "AUROC", [at.metrics.auroc for at in figures.horizons]),
        (right, "Average precision (AUPRC)", [at.metrics.auprc for at in figures.horizons]),
    ):
        _points(axes, list(range(len(names))), estimates, BLUE)
        axes.set(title=title, xlim=(-0.5, len(names) - 0.5), xlabel="known at, since admission")
        axes.set_xticks(range(len(names)), names)
    right.axhline(figures.deaths / figures.patients, color=GREY, linestyle="--", label="by chance")
    right.set_ylim(bottom=0)
    right.legend(loc="lower right")
    return figure


def ranking(figures: Figures) -> Figure:
    """ROC, and precision by sensitivity."""
    figure = Figure(figsize=(9, 4.3))
    left, right = figure.subplots(1, 2)
    for at, colour, dashes in _shown(figures):
        if at.roc and at.precision:
            left.plot(at.roc.x, at.roc.y, dashes, color=colour, label=_labelled(at, at.metrics.auroc))
            right.plot(
                at.precision.x, at.precision.y, dashes, color=colour, label=_labelled(at, at.metrics.auprc)
            )
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    right.axhline(figures.deaths / figures.patients, color=GREY, linewidth=1)
    left.set(title="ROC", xlabel="1 − specificity", ylabel="sensitivity")
    right.set(title="Precision and recall", xlabel="sensitivity", ylabel="positive predictive value")
    for axes, title, place in ((left, "AUROC", "lower right"), (right, "AUPRC", "upper right")):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(title=title, loc=place)
    return figure


def calibration(figures: Figures) -> Figure:
    """Death rate by mean risk in ten groups of patients."""
    figure = Figure(figsize=(9, 4.3))
    for axes, hours, colour in zip(figure.subplots(1, 2), (24.0, None), (ORANGE, BLUE), strict=True):
        bins = figures.at(hours).calibration
        _points(axes, [bin_.mean_risk for bin_ in bins], [bin_.death_rate for bin_ in bins], colour)
        edge = min(
            1.0, 1.05 * max((max(bin_.mean_risk, bin_.death_rate.high or 0) for bin_ in bins), default=1)
        )
        axes.plot([0, edge], [0, edge], color=GREY, linewidth=1)
        axes.set(xlim=(0, edge), ylim=(0, edge), aspect="equal")
        axes.set(title=f"Calibration, {name(hours)}", xlabel="mean risk", ylabel="share who died")
    return figure


def decision(figures: Figures) -> Figure:
    """Net benefit by threshold, with the interval of the last scores."""
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots()
    for at, colour, dashes in _shown(figures):
        thresholds = [benefit.threshold for benefit in at.net_benefit]
        axes.plot(
            thresholds,
            [_number(benefit.model.value) for benefit in at.net_benefit],
            dashes,
            color=colour,
            label=f"act on the risk, {name(at.hours)}",
        )
        if at.hours is None:
            low = [_number(benefit.model.low) for benefit in at.net_benefit]
            high = [_number(benefit.model.high) for benefit in at.net_benefit]
            axes.fill_between(thresholds, low, high, color=colour, alpha=0.15, linewidth=0)
            treat_all = [benefit.treat_all for benefit in at.net_benefit]
            axes.plot(thresholds, treat_all, color=GREY, linestyle="-.", label="act on everybody")
    axes.axhline(0, color="black", linewidth=1, label="act on nobody")
    rate = max(0.01, figures.deaths / figures.patients)
    axes.set(ylim=(-0.15 * rate, 1.1 * rate), xlabel="threshold", ylabel="net benefit a patient")
    axes.set_title("Decision curve")
    axes.legend(loc="upper right")
    return figure


def lead_time(lead: LeadTime) -> Figure:
    """Share of those who died who had alerted by so many hours before the end of their record."""
    figure = Figure(figsize=(9, 3.3))
    axes = figure.subplots()
    axes.step(lead.by_hour.x, lead.by_hour.y, where="pre", color=BLUE)
    _points(axes, list(lead.early), list(lead.early.values()), BLUE)
    axes.set(ylim=(0, 1), xlabel="hours before the last observation", ylabel="share of those who died")
    axes.set_title("Had alerted at least so early")
    axes.set_xlim(max(1, *lead.by_hour.x), 0)
    return figure


def groups(figures: Figures) -> Figure:
    """AUROC, and death rate beside mean risk, of each subgroup."""
    figure = Figure(figsize=(9, 1.4 + 0.32 * len(figures.subgroups)))
    left, right = figure.subplots(1, 2, sharey=True)
    rows = list(range(len(figures.subgroups)))
    metrics = [group.metrics for group in figures.subgroups]
    _points(left, rows, [figures.auroc for figures in metrics], BLUE, across=True)
    everybody = figures.at(None).metrics
    if everybody.auroc.value is not None:
        left.axvline(everybody.auroc.value, color=GREY, linestyle="--", linewidth=1, label="all patients")
    _points(right, rows, [figures.death_rate for figures in metrics], ORANGE, across=True, label="died")
    means = [_number(figures.mean_risk.value) for figures in metrics]
    right.plot(means, rows, "D", color=BLUE, markersize=5, label="mean risk")
    figure.legend(loc="outside lower center", ncols=3)
    left.set_yticks(rows, [f"{group.of}: {group.name}" for group in figures.subgroups])
    left.invert_yaxis()
    left.set_title("AUROC")
    right.set_title("Foretold and observed")
    right.set_xlim(left=0)
    return figure


def _shown(figures: Figures) -> Iterator[tuple[AtHorizon, str, str]]:
    return ((figures.at(hours), colour, dashes) for hours, colour, dashes in SHOWN)


def _labelled(at: AtHorizon, figure: Estimate) -> str:
    return f"{name(at.hours)}: {_number(figure.value):.3f}"


def _points(
    axes: Axes,
    places: Sequence[float],
    estimates: Sequence[Estimate],
    colour: str,
    *,
    across: bool = False,
    label: str | None = None,
) -> None:
    """Dots with their intervals; `across`: the intervals lie along x. Figures that are None are left out."""
    values = [_number(estimate.value) for estimate in estimates]
    below = [value - _number(estimate.low) for value, estimate in zip(values, estimates, strict=True)]
    above = [_number(estimate.high) - value for value, estimate in zip(values, estimates, strict=True)]
    spread = np.maximum([below, above], 0)
    x, y = (values, places) if across else (places, values)
    axes.errorbar(
        x,
        y,
        xerr=spread if across else None,
        yerr=None if across else spread,
        fmt="o",
        color=colour,
        markersize=5,
        elinewidth=1.3,
        capsize=3,
        label=label,
    )


def _number(figure: float | None) -> float:
    return float("nan") if figure is None else figure
