"""The `vitalstream` command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from stream.console.extras import missing_extra, unavailable
from stream.console.output import guard_output, say, settle_output
from stream.console.reporting import report, report_exceptions
from stream.console.stopping import handle_signals, started
from stream.errors import OutputError, SettingsError, VitalstreamError

if TYPE_CHECKING:
    import typer

COMMANDS = (
    "demo", "run", "topics", "simulate", "replay", "watch", "train", "evaluate", "state", "rewarm", "doctor",
)  # fmt: skip
"""Each is a module of `stream.cli` with a Typer application `app`, or a function of its name."""
ENDS_WELL_WHEN_STOPPED = "run"
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}
INTERRUPTED = 130


def application(*names: str) -> typer.Typer:
    """The command line with these commands."""
    import typer

    from stream.console.about import about

    app = typer.Typer(
        name="vitalstream",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Watches patients as their data arrives: Kafka in, a rolling GRU state per patient, risk scores "
        "out. Research and engineering use; not a medical device.",
        epilog="Exit codes: 0 done, 1 other failure, 2 settings or usage, 3 Kafka, 4 model, 5 recorded data, "
        "6 state, 7 a gap in input or state, 130 interrupted, 143 terminated.",
    )
    app.callback(invoke_without_command=True)(about)
    for name in names:
        try:
            module = import_module(f"stream.cli.{name}")
        except ModuleNotFoundError as error:
            if (needs := missing_extra(error, name)) is None:
                raise
            app.command(name, help=needs.capitalize(), context_settings=ANYTHING)(unavailable(error))
            continue
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def main() -> None:
    """Run the command line; whatever goes wrong is one line on standard error and an exit code.

    Signals come first: nothing that takes time is imported before them. Only the command that is asked for is
    imported at all: torch alone takes seconds.
    """
    wanted = sys.argv[1:2]
    handle_signals(0 if wanted == [ENDS_WELL_WHEN_STOPPED] else None)
    report_exceptions()
    guard_output()
    code = _exit_code(lambda: _run(wanted), *wanted)
    try:
        settle_output()
    except OutputError as error:
        if not code:
            say(str(error))
            code = error.exit_code
    sys.exit(code)


def _run(wanted: list[str]) -> None:
    from typer.main import get_command

    needed = set() if "--version" in wanted else {*COMMANDS} & {*wanted} or COMMANDS
    command = get_command(application(*needed))
    started()
    command()


def _exit_code(work: Callable[[], None], command: str | None = None) -> int | str | None:
    try:
        work()
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except VitalstreamError as error:
        say(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        return _without(error, command)
    except BaseException as error:
        report(error)
        return 1
    return 0


def _without(error: ModuleNotFoundError, command: str | None) -> int:
    if (needs := missing_extra(error, command)) is None:
        report(error)
        return 1
    say(needs)
    return SettingsError.exit_code


if __name__ == "__main__":
    main()
