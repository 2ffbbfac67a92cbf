"""The `vitalstream` command."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from stream.errors import VitalstreamError

COMMANDS = (
    "demo", "run", "topics", "simulate", "replay", "watch", "train", "evaluate", "state", "rewarm", "doctor",
)  # fmt: skip
"""Each is a module of `stream.commands` with a function, or else a Typer application `app`, of its own."""


def application(*names: str) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="vitalstream",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Watches patients as their data arrives: Kafka in, a rolling GRU state per patient, risk scores "
        "out. Research and engineering use; not a medical device.",
        epilog="Exit codes: 0 done, 1 other failure, 2 settings or usage, 3 Kafka, 4 model, 5 recorded data, "
        "6 state, 7 a gap in input or state, 130 interrupted.",
    )
    app.callback()(lambda: None)
    for name in names:
        module = import_module(f"stream.commands.{name}")
        if hasattr(module, name):
            app.command(name)(getattr(module, name))
        else:
            app.add_typer(module.app, name=name)
    return app


def main() -> None:
    """Run the command line; a `VitalstreamError` is one line on standard error and its exit code. Only the
    command that is asked for is imported: torch alone takes seconds."""
    wanted = sys.argv[1:2]
    app = application(*(wanted if wanted and wanted[0] in COMMANDS else COMMANDS))
    try:
        app()
    except VitalstreamError as error:
        typer.echo(f"vitalstream: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
