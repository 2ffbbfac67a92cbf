"""`vitalstream --version`."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Annotated

import typer


def about(
    show: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            help="Show the versions of this release and its main libraries, and exit.",
        ),
    ] = False,
) -> None:
    if show:
        typer.echo(versions())
        raise typer.Exit


def versions() -> str:
    """This release, the format of its model artifacts and the libraries that decide how it behaves."""
    from stream.kafka.librdkafka.common import library_version
    from stream.settings import SHIPPED_MODEL

    artifact = json.loads((SHIPPED_MODEL / "model.json").read_bytes())["format"]
    return (
        f"vitalstream {version('vitalstream')}, model artifact {artifact}, torch {version('torch')}, "
        f"librdkafka {library_version()}, kafka-python {version('kafka-python')}"
    )
