"""`vitalstream evaluate`: how good the scores are, as a table, as JSON, as a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.artifact import Description, read_description
from model.datasets.physionet2012 import statics_beside
from model.datasets.stays import Outcomes, Statics
from model.datasets.tables import read_outcomes, read_statics
from model.errors import ArtifactError, DatasetError
from model.evaluate.horizons import Evaluation
from model.evaluate.horizons import evaluate as measure
from stream.console.options import KAFKA, Json, takes_settings
from stream.errors import DataError
from stream.scores.reader import from_file, from_topic, read
from stream.scores.report import write_report
from stream.settings import Settings


@takes_settings(*KAFKA, "scores_topic", "model")
def evaluate(
    settings: Settings,
    outcomes: Annotated[
        Path,
        typer.Option(
            help="CSV (comma, semicolon or tab) with the columns RecordID, the patient id as in the scores, "
            "and In-hospital_death, 0 or 1."
        ),
    ],
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TOPIC",
            help="File with one RiskScore a line, or a topic. [default: the score topic]",
        ),
    ] = None,
    model_hash: Annotated[
        str | None, typer.Option(help="Use only scores of the model whose hash begins with this.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for report.html and report.json.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Risk from which to alert. [default: that of the configured model, if it made the scores]"
        ),
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns RecordID, Age, Gender, ICUType, for the report's subgroups. "
            "[default: the recorded set beside the outcomes]"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show AUROC and average precision of the scores known at 6, 12, 24, 36 and 48 h, and of the last ones.

    For each patient the last score at or before each time counts; time runs from the patient's first score.
    `--report` adds intervals, calibration, net benefit, subgroups and, if there is a threshold, alerts.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise typer.BadParameter("must be above 0 and at most 1", param_hint="--threshold")
    if not report and (threshold is not None or patients):
        raise typer.BadParameter("requires --report", param_hint="--threshold, --patients")
    columns = read(_lines(settings, scores), model_hash)
    known = _made_by(settings.model, columns.model_hash)
    try:
        died = read_outcomes(outcomes)
        deaths = Outcomes(columns.numbers(died.ids), died.values)
        figures = measure(columns.patients, columns.hours, columns.risks, deaths)
        page = None
        if report:
            who = read_statics(patients) if patients else statics_beside(outcomes)
            statics = Statics(columns.numbers(who.ids), who.values) if who else None
            page = write_report(
                report,
                columns,
                deaths,
                statics,
                known.alert_threshold if known and threshold is None else threshold,
                learnt_from=known.training.data if known else None,
            )
    except DatasetError as error:
        raise DataError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(figures.to_json()))
    else:
        Console().print(_table(figures))
    if known:
        typer.echo(
            f"the model's training: {known.training.data}; "
            "figures on patients it was trained on are optimistic",
            err=True,
        )
    if page:
        typer.echo(f"report: {page}", err=True)
        if not known and threshold is None:
            typer.echo(
                f"the report counts no alerts: the model in {settings.model} did not make the scores. Give "
                "the model that did with --model, or give --threshold",
                err=True,
            )


def _lines(settings: Settings, scores: str | None) -> Iterator[bytes]:
    """A path that cannot be a topic's name is a file, even if it is missing."""
    if scores and (Path(scores).exists() or "/" in scores):
        return from_file(Path(scores))
    return from_topic(settings, scores or settings.scores_topic)


def _made_by(model: Path, scored_by: str) -> Description | None:
    """The description of the model in `model`, if it made the scores; else None."""
    try:
        known = read_description(model)
    except ArtifactError:
        return None
    return known if scored_by and known.hash.startswith(scored_by) else None


def _table(figures: Evaluation) -> Table:
    table = Table(
        title=f"{figures.scores:,} scores of {figures.patients:,} patients",
        caption=f"{figures.unscored:,} patients have an outcome and no score, "
        f"{figures.unknown:,} a score and no outcome",
    )
    for column in ("known at", "patients", "deaths", "AUROC", "AUPRC", "Brier"):
        table.add_column(column, justify="right")
    for at in figures.horizons:
        table.add_row(
            "last score" if at.hours is None else f"{at.hours:g} h",
            f"{at.patients:,}",
            f"{at.deaths:,}",
            "–" if at.auroc is None else f"{at.auroc:.4f}",
            "–" if at.auprc is None else f"{at.auprc:.4f}",
            f"{at.brier:.4f}",
        )
    return table
