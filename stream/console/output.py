"""Standard output and standard error without surprises: a character that the code page lacks is replaced, and
output that cannot be written ends in a sentence."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, TextIO

from stream.errors import OutputError


class _Guarded(io.BufferedIOBase):
    """The bytes of a standard stream. name: of one whose failure is an `OutputError`; None: failing is no
    reason to end."""

    def __init__(self, to: BinaryIO, name: str | None) -> None:
        self._to, self._name = to, name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._to.fileno()

    def isatty(self) -> bool:
        return self._to.isatty()

    def write(self, data: Any) -> int:
        self._try(lambda: self._to.write(data))
        return len(data)

    def flush(self) -> None:
        self._try(self._to.flush)

    def settle(self) -> None:
        """Leave nothing that the interpreter tries to write once more."""
        try:
            self._to.flush()
        except OSError:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._to.fileno())
                os.close(nowhere)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            if self._name:
                raise OutputError(f"{self._name}: {error.strerror}") from error


def guard_output() -> None:
    """From now on, `OutputError` if standard output cannot be written; standard error never fails."""
    sys.stdout = _guarded(sys.stdout, "standard output", "replace")
    sys.stderr = _guarded(sys.stderr, None, "backslashreplace")


def settle_output() -> None:
    """Write what is left, at the end. Raises `OutputError`."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
    try:
        for stream in streams:
            stream.flush()
    finally:
        for stream in streams:
            if isinstance(stream.buffer, _Guarded):
                stream.buffer.settle()


def say(what: str) -> None:
    """One line on standard error."""
    if sys.stderr is not None:
        print(f"vitalstream: {what}", file=sys.stderr)


def _guarded(stream: TextIO | None, name: str | None, errors: str) -> Any:
    """None if the process was started without the stream."""
    if stream is None:
        return None
    buffered_by_line = bool(getattr(stream, "line_buffering", False))
    return io.TextIOWrapper(
        _Guarded(stream.buffer, name),
        stream.encoding,
        errors,
        line_buffering=buffered_by_line,
        write_through=True,
    )
