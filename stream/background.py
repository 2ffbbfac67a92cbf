"""Background threads whose failures are seen.

spawn         runs a function once; its failure ends its owner, which finds it in the future
Threads.keep  runs a function as long as the worker lives, and again whenever it fails
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from stream.errors import ThreadError, VitalstreamError, describe

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RESTORE, STANDBY, WATCHDOG, COMMIT, TOPICS = NAMES = ("restore", "standby", "watchdog", "commit", "topics")
"""The threads of a worker: the label values of the metric."""
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0


def spawn(name: str, work: Callable[[], Result]) -> Future[Result]:
    """Run `work` on a daemon thread. Does not block.

    The future holds the result, or the `VitalstreamError` that `work` raised. Whatever else it raised,
    `SystemExit` included, becomes a `ThreadError`.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            result = work()
        except VitalstreamError as error:
            outcome.set_exception(error)
        except BaseException as error:
            outcome.set_exception(ThreadError(name, error))
        else:
            outcome.set_result(result)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # the system grants no further thread
        outcome.set_exception(ThreadError(name, error))
    return outcome


def raise_failure(outcome: Future[Result]) -> None:
    """Raise the error that ended a spawned thread, if one did. Does not block."""
    if outcome.done():
        outcome.result()


class Threads:
    """A worker's threads: keeps them running, and knows which are down.

    count: called with the thread's name for each failure.
    """

    def __init__(self, count: Callable[[str], None] = lambda name: None) -> None:
        self._count = count
        self._down: dict[str, str] = {}
        self._kept: dict[str, Future[None]] = {}

    @property
    def down(self) -> Mapping[str, str]:
        """The threads that are down, by name, and what ended each."""
        ended = {name: kept.exception() for name, kept in list(self._kept.items()) if kept.done()}
        return dict(self._down) | {name: describe(error) for name, error in ended.items() if error}

    def keep(self, name: str, work: Callable[[], None], closed: threading.Event) -> None:
        """Run `work`, which calls `alive` whenever it has done something, on a daemon thread until `closed`
        is set. If it raises, run it again after a pause, which grows up to `MAX_PAUSE_S`."""

        def forever() -> None:
            pause = FIRST_PAUSE_S
            while not closed.is_set():
                begun = time.monotonic()
                try:
                    work()
                except BaseException as error:
                    lasted = time.monotonic() - begun
                    pause = FIRST_PAUSE_S if lasted > MAX_PAUSE_S else pause
                    self._note(name, error)
                    log.error(
                        "the %s thread failed: %s; it starts again in %g s", name, describe(error), pause
                    )
                    closed.wait(pause)
                    pause = min(2 * pause, MAX_PAUSE_S)

        self._kept[name] = spawn(name, forever)

    def alive(self, name: str) -> None:
        """The thread works."""
        self._down.pop(name, None)

    def fail(self, error: ThreadError) -> None:
        """A spawned thread has failed. Its owner ends, and says why."""
        self._note(error.thread, error.cause)

    def _note(self, name: str, error: BaseException) -> None:
        self._down[name] = describe(error)
        self._count(name)
