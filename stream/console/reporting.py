"""What is shown of an exception that nobody catches: never its message or traceback, which may hold a patient
id or a measured value."""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType

from stream.console.output import say
from stream.errors import describe, stack
from stream.seldom import Seldom

log = logging.getLogger("vitalstream")


def report_exceptions() -> None:
    """From now on, report an exception of any thread, and one that cannot be raised."""
    sys.excepthook = _uncaught
    threading.excepthook = _ended_thread
    sys.unraisablehook = _unraisable
    logging.raiseExceptions = False
    if logging.lastResort and not logging.lastResort.filters:
        logging.lastResort.addFilter(Seldom())  # commands without a log of their own


def report(error: BaseException) -> None:
    """One line on standard error; the places of the whole stack follow if the log level is DEBUG."""
    say(f"internal error: {describe(error)}")
    if os.environ.get("VITALSTREAM_LOG_LEVEL") == "DEBUG" or logging.root.level == logging.DEBUG:
        for place in stack(error):
            say(f"  {place}")


def _uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    report(error)


def _ended_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "unknown"
    what = describe(failed.exc_value) if failed.exc_value else failed.exc_type.__qualname__
    log.error("thread %s ended: %s", name, what)


def _unraisable(failed: sys.UnraisableHookArgs) -> None:
    what = describe(failed.exc_value) if failed.exc_value else failed.exc_type.__qualname__
    log.error("an error that nobody can catch: %s", what)
