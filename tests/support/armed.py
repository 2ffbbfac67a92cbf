"""`vitalstream` with failpoints armed, for tests alone:
`VITALSTREAM_FAILPOINT=… python -m tests.support.armed run`.

    NAME[:N[:ACTION]]   the N-th time that NAME is reached (1 if not given); several are separated by commas

ACTION is `kill` (SIGKILL, the default), `hang` (for ever), `raise`, or `raise=ERROR`, a built-in exception.
What is raised carries `CANARY` as its message: it stands for a patient id, and may be seen nowhere.
"""

from __future__ import annotations

import builtins
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream import failpoints

VARIABLE = "VITALSTREAM_FAILPOINT"
CANARY = "patient-canary-4711"
REACHED = "failpoint"

log = logging.getLogger(__name__)


class Failpoint(RuntimeError):
    """What an armed failpoint raises unless told otherwise: none of vitalstream's own errors."""


class Traps:
    """sprung: the names that have done what they were armed for, in order."""

    def __init__(self, text: str) -> None:
        self.sprung: list[str] = []
        self._armed = [_parsed(one) for one in text.split(",")]
        self._reached = dict.fromkeys(failpoints.NAMES, 0)
        self._lock = threading.Lock()
        self._released = threading.Event()

    def __call__(self, name: str) -> None:
        with self._lock:
            if name not in self._reached:
                return
            self._reached[name] += 1
            due = [act for one, number, act in self._armed if (one, number) == (name, self._reached[name])]
            self.sprung += [name] * len(due)
        for act in due:
            log.warning("%s %s: %s", REACHED, name, act)
            self._do(act)

    def release(self) -> None:
        """Let go on what hangs."""
        self._released.set()

    def _do(self, act: str) -> None:
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act == "hang":
            self._released.wait()
        else:
            raise _error(act)


@contextmanager
def armed(text: str) -> Iterator[Traps]:
    """A worker that is built within has these failpoints. What hangs in the end goes on."""
    traps = Traps(text)
    failpoints.set_trap(traps)
    try:
        yield traps
    finally:
        failpoints.set_trap(None)
        traps.release()


def _parsed(text: str) -> tuple[str, int, str]:
    name, _, rest = text.partition(":")
    number, _, act = rest.partition(":")
    if name not in failpoints.NAMES:
        raise ValueError(f"{VARIABLE}: no failpoint {name}; there are {', '.join(failpoints.NAMES)}")
    if act.partition("=")[0] not in ("", "kill", "hang", "raise"):
        raise ValueError(f"{VARIABLE}: {name}: kill, hang or raise, not {act}")
    return name, int(number or 1), act or "kill"


def _error(act: str) -> BaseException:
    kind: Callable[..., BaseException] = getattr(builtins, act.partition("=")[2], Failpoint)
    return kind(1) if kind is SystemExit else kind(CANARY)


def main() -> None:
    from stream.cli import main as cli

    with armed(os.environ.pop(VARIABLE)):
        cli.main()


if __name__ == "__main__":
    main()
