"""Work on a thread of its own, whose failure is not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream.errors import VitalstreamError


class Background:
    """Runs `work` on a daemon thread from now on."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._work = work
        self._error: VitalstreamError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """False once the work has ended well. Raises the `VitalstreamError` that ended it otherwise."""
        if self._error:
            raise self._error
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the work has ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._work()
        except VitalstreamError as error:
            self._error = error
