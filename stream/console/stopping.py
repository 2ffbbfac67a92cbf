"""SIGTERM and SIGINT, handled from the first moment of the process on, also as PID 1 of a container.

    starting ──▶ working ──▶ looping
                    └── a command without a loop stays here

The first signal ends a process that is starting at once: nothing is open yet. SIGTERM does the same to one
that is working, and SIGINT interrupts it (`KeyboardInterrupt`). A loop is asked to end, by an event. A second
signal ends the process at once, whatever it does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

NUMBERS = (signal.SIGTERM, signal.SIGINT)
AGAIN_S = 0.5
"""A terminal and a supervisor may both send a signal: what comes so soon after the first is the same stop."""
SHOW_CURSOR = b"\x1b[?25h"
STDERR = 2


class _Signals:
    """The process's signals. A thread of its own looks after them, since the main thread handles none while
    it is in a C function."""

    def __init__(self) -> None:
        self._write: int | None = None
        self._code: int | None = None
        self._interruptible = self._interrupted = False
        self._stop: threading.Event | None = None
        self._first: float | None = None

    def handle(self, code: int | None) -> None:
        self._code, self._stop, self._first = code, None, None
        self._interruptible = self._interrupted = False
        if self._write is None:
            read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            threading.Thread(target=self._watch, args=(read,), name="signals", daemon=True).start()
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in NUMBERS:
            signal.signal(number, self._interrupt)

    def started(self) -> None:
        self._interruptible = self._code is None

    def loop(self) -> threading.Event:
        if self._write is None:
            self.handle(None)
        self._stop = threading.Event()
        if self._first is not None:
            self._stop.set()
        return self._stop

    def _interrupt(self, number: int, _: object) -> None:
        if number == signal.SIGINT and self._interruptible and self._stop is None and not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt

    def _watch(self, read: int) -> None:
        while True:
            for number in os.read(read, 64):
                if number in NUMBERS:
                    self._came(number)

    def _came(self, number: int) -> None:
        now = time.monotonic()
        if self._first is not None:
            if now - self._first > AGAIN_S:
                _end(128 + number, "ended at once; nothing more is committed")
            return
        self._first = now
        if self._stop is not None:
            self._stop.set()
        elif number == signal.SIGTERM or not self._interruptible:
            _end(128 + number if self._code is None else self._code, "stopped")


def _end(code: int, why: str) -> None:
    with suppress(OSError):
        os.write(STDERR, (SHOW_CURSOR if os.isatty(STDERR) else b"") + f"vitalstream: {why}\n".encode())
    os._exit(code)


_signals = _Signals()


def handle_signals(code: int | None = None) -> None:
    """Handle SIGTERM and SIGINT from now on, as a process that is starting. For the main thread.

    code: the status with which a signal ends it before its loop begins; None: 128 and the signal's number.
    """
    _signals.handle(code)


def started() -> None:
    """All is imported: what runs from now on can be interrupted."""
    _signals.started()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on, for a loop to end cleanly on. For the main thread."""
    return _signals.loop()
