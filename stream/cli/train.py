"""`vitalstream train`: recorded stays → a model artifact."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from model.errors import DatasetError, PeerError, RecipeError
from model.train import fit
from model.train.distributed import process_group
from model.train.private import CLIP, Privacy
from model.train.private import RECIPE as PRIVATE
from model.train.recipe import Recipe
from model.train.run import RecordedSet
from model.train.run import train as run
from stream.console.options import Json
from stream.errors import DataError, SettingsError, VitalstreamError

Set = Literal["a", "b", "c"]
DEFAULT = Recipe()
SIZES = {"hidden": "hidden_size", "wide": "wide_size"}


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the model; an interrupted run continues from it.")],
    data: Annotated[
        Path, typer.Option(help="Folder that contains physionet2012/.", envvar="VITALSTREAM_DATA")
    ] = Path("../shared/data"),
    learn: Annotated[str, typer.Option(help="Sets of PhysioNet 2012 to learn from.", metavar="a+b")] = "a+b",
    validate: Annotated[
        Set | None,
        typer.Option(help="Set that stops the training and calibrates the risk. [default: cross-fitting]"),
    ] = None,
    cell: Annotated[Literal["rnn", "lstm", "gru", "gru-d"], typer.Option(help="Recurrent cell.")] = "gru",
    hidden: Annotated[int, typer.Option(min=1, max=4096, help="Hidden size.")] = DEFAULT.hidden_size,
    wide: Annotated[
        int, typer.Option(min=0, max=4096, help="Units of the wide path; 0 for none.")
    ] = DEFAULT.wide_size,
    epochs: Annotated[
        int, typer.Option(min=1, help="Maximum number of passes over the stays.")
    ] = DEFAULT.epochs,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better validation loss before training stops.")
    ] = DEFAULT.patience,
    batch_size: Annotated[int, typer.Option(min=1, help="Stays per update.")] = DEFAULT.batch_size,
    learning_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Peak of the learning rate's cycle.")
    ] = DEFAULT.learning_rate,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Dropout of inputs and output.")
    ] = DEFAULT.dropout,
    variable_dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Probability that a variable is hidden for a whole stay.")
    ] = DEFAULT.variable_dropout,
    folds: Annotated[
        int,
        typer.Option(min=0, help="Folds in which a teacher scores stays it has not seen; 0 for no teacher."),
    ] = DEFAULT.folds,
    label_weight: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of the outcome beside the teacher's score.")
    ] = DEFAULT.label_weight,
    hindsight: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of the teacher's score that is taken from the end of the stay."
        ),
    ] = DEFAULT.hindsight,
    calibration_folds: Annotated[
        int, typer.Option(min=2, help="Folds of cross-fitting, to calibrate on unseen patients.")
    ] = DEFAULT.calibration_folds,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything that is random.")
    ] = DEFAULT.seed,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
    dp_epsilon: Annotated[
        float | None,
        typer.Option(
            help="Train privately (DP-SGD): bound on what the model reveals of any patient it learnt from."
        ),
    ] = None,
    dp_delta: Annotated[
        float | None, typer.Option(help="Probability that the bound fails. [default: patients^-1.1]")
    ] = None,
    dp_clip: Annotated[
        float | None, typer.Option(help=f"Norm to which a patient's gradient is clipped. [default: {CLIP:g}]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model on recorded stays.

    The defaults are the recipe of the shipped model; with --dp-epsilon, they are those of a private model
    (smaller, without a teacher: docs/privacy.md). If torchrun starts it, all its processes train one model.
    """
    torch.set_num_threads(threads)
    given = {
        "cell": cell,
        "hidden": hidden,
        "wide": wide,
        "epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "dropout": dropout,
        "variable_dropout": variable_dropout,
        "folds": folds,
        "label_weight": label_weight,
        "hindsight": hindsight,
        "calibration_folds": calibration_folds,
        "seed": seed,
    }
    privacy = _privacy(dp_epsilon, dp_delta, dp_clip)
    if privacy and (validate is None or validate in learn.split("+")):
        raise SettingsError(
            "private training needs --validate: a set of patients other than those it learns from"
        )
    recipe = _recipe(PRIVATE if privacy else DEFAULT, context, given)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with process_group() as group:
            learnt = RecordedSet.read(data, learn)
            held_out = RecordedSet.read(data, validate) if validate else None
            plan = privacy.plan(recipe, len(learnt.stays)) if privacy else None
            rounds = 1 if held_out else 1 + recipe.calibration_folds
            with _Bars(recipe, shown=group.is_main, rounds=rounds) as bars:
                model, figures = run(
                    recipe,
                    learnt,
                    held_out,
                    out,
                    taught=bars.taught,
                    fitted=bars.fitted,
                    group=group,
                    plan=plan,
                )
    except DatasetError as error:
        raise DataError(str(error)) from error
    except RecipeError as error:
        raise SettingsError(str(error)) from error
    except PeerError as error:
        raise VitalstreamError(str(error)) from error
    except OSError as error:
        raise DataError(f"cannot write the model to {out}: {error.strerror}") from error
    if not group.is_main:
        return
    if as_json:
        private = {"privacy": plan.to_json()} if plan else {}
        typer.echo(json.dumps({"model": model.name, "hash": model.hash, **private, **figures.to_json()}))
    else:
        last = figures.at(None)
        held = f"set {validate}" if validate else f"set {learn}, unseen in its fold"
        typer.echo(f"{out}: {model.name} {model.hash[:16]}, {held}: AUROC {last.auroc:.4f} (last score)")
        if plan:
            spent = f"epsilon {plan.epsilon:.3g}, delta {plan.delta:.2g}"
            typer.echo(f"privacy: {spent} for each patient of set {learn}")


def _recipe(base: Recipe, context: typer.Context, flags: dict[str, Any]) -> Recipe:
    """`base`, except for the flags that were given."""
    given = {flag: value for flag, value in flags.items() if _source(context, flag) != "DEFAULT"}
    return replace(base, **{SIZES.get(flag, flag): value for flag, value in given.items()})


def _source(context: typer.Context, flag: str) -> str | None:
    """The name of the source of a flag's value: typer has click's enum in a place of its own."""
    source = context.get_parameter_source(flag)
    return source and source.name


def _privacy(epsilon: float | None, delta: float | None, clip: float | None) -> Privacy | None:
    if epsilon is None:
        if delta is not None or clip is not None:
            raise SettingsError("--dp-delta and --dp-clip belong to private training: give --dp-epsilon too")
        return None
    return Privacy(epsilon, delta, CLIP if clip is None else clip)


class _Bars:
    """How far the teacher and the model are, on standard error."""

    def __init__(self, recipe: Recipe, *, shown: bool, rounds: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=not shown,
        )
        self._folds = self._progress.add_task(
            "teacher", total=rounds * recipe.folds, shown="folds", visible=recipe.folds > 0
        )
        self._epochs = self._progress.add_task("model", total=rounds * recipe.epochs, shown="epochs")

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def taught(self, folds: int) -> None:
        self._progress.update(self._folds, completed=folds)

    def fitted(self, progress: fit.EpochProgress) -> None:
        shown = "epochs"
        if progress.loss is not None:
            shown += f", loss {progress.loss:.4f}"
        if progress.validation_loss is not None:
            shown += f", validation {progress.validation_loss:.4f}"
        self._progress.update(self._epochs, completed=progress.epoch, shown=shown)
