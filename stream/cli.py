"""The `vitalstream` command."""

from __future__ import annotations

import sys

import typer

from stream.commands import topics
from stream.commands.demo import demo
from stream.commands.doctor import doctor
from stream.commands.evaluate import evaluate
from stream.commands.replay import replay
from stream.commands.run import run
from stream.commands.simulate import simulate
from stream.commands.train import train
from stream.commands.watch import watch
from stream.errors import VitalstreamError

app = typer.Typer(
    name="vitalstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Watches patients as their data arrives: Kafka in, a rolling GRU state per patient, risk scores "
    "out. Research and engineering use; not a medical device.",
    epilog="Exit codes: 0 done, 1 other failure, 2 settings or usage, 3 Kafka, 4 model, 5 recorded data, "
    "6 state, 130 interrupted.",
)
for command in (demo, run, simulate, replay, watch, train, evaluate, doctor):
    app.command()(command)
app.add_typer(topics.app, name="topics")


def main() -> None:
    """Run the command line; a `VitalstreamError` is one line on standard error and its exit code."""
    try:
        app()
    except VitalstreamError as error:
        typer.echo(f"vitalstream: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
