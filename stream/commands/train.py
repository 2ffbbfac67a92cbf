"""`vitalstream train`: recorded stays → a model artifact."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from model.errors import DatasetError
from model.train import fit
from model.train.recipe import Recipe
from model.train.run import Recorded
from model.train.run import train as run
from stream.commands.options import Json
from stream.errors import DataError

Set = Literal["a", "b", "c"]
DEFAULT = Recipe()


def train(
    out: Annotated[Path, typer.Option(help="Folder for the model; an interrupted run goes on from it.")],
    data: Annotated[
        Path, typer.Option(help="Folder that has physionet2012/ in it.", envvar="VITALSTREAM_DATA")
    ] = Path("../shared/data"),
    learn: Annotated[Set, typer.Option(help="Set of PhysioNet 2012 to learn from.")] = "a",
    validate: Annotated[Set, typer.Option(help="Set that stops the training and calibrates the risk.")] = "b",
    cell: Annotated[Literal["rnn", "lstm", "gru", "gru-d"], typer.Option(help="Recurrent cell.")] = "gru",
    hidden: Annotated[int, typer.Option(min=1, max=4096, help="Hidden size.")] = DEFAULT.hidden_size,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the stays.")] = DEFAULT.epochs,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better validation loss before the end.")
    ] = DEFAULT.patience,
    batch_size: Annotated[int, typer.Option(min=1, help="Stays an update.")] = DEFAULT.batch_size,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak of its cycle.")] = DEFAULT.learning_rate,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Of inputs and output.")] = DEFAULT.dropout,
    folds: Annotated[
        int, typer.Option(min=0, help="Folds in which a teacher scores what it did not see; 0: no teacher.")
    ] = DEFAULT.folds,
    label_weight: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of the outcome beside the teacher's score.")
    ] = DEFAULT.label_weight,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is random.")] = DEFAULT.seed,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a model on recorded stays. The defaults are the recipe of the model that is shipped."""
    torch.set_num_threads(threads)
    recipe = Recipe(
        cell=cell,
        hidden_size=hidden,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        folds=folds,
        label_weight=label_weight,
        seed=seed,
    )
    try:
        learnt, held_out = Recorded.read(data, learn), Recorded.read(data, validate)
        with _Bars(recipe) as bars:
            model, figures = run(recipe, learnt, held_out, out, taught=bars.taught, fitted=bars.fitted)
    except DatasetError as error:
        raise DataError(str(error)) from None
    last = figures.at(None)
    if as_json:
        typer.echo(json.dumps({"model": model.name, "hash": model.hash, **figures.to_json()}))
    else:
        typer.echo(
            f"{out}: {model.name} {model.hash[:16]}, set {validate}: AUROC {last.auroc:.4f} (last score)"
        )


class _Bars:
    """How far the teacher and the model are, on standard error."""

    def __init__(self, recipe: Recipe) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
        )
        self._folds = self._progress.add_task(
            "teacher", total=recipe.folds, told="folds", visible=recipe.folds > 0
        )
        self._epochs = self._progress.add_task("model", total=recipe.epochs, told="epochs")

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def taught(self, folds: int) -> None:
        self._progress.update(self._folds, completed=folds)

    def fitted(self, progress: fit.Progress) -> None:
        told = f"epochs, loss {progress.loss:.4f}"
        if progress.validation_loss is not None:
            told += f", validation {progress.validation_loss:.4f}"
        self._progress.update(self._epochs, completed=progress.epoch, told=told)
