"""The end of a transaction, on a thread of its own: the loop decodes and steps on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream.errors import BrokerError


class Ending(threading.Thread):
    """Runs `steps` once. Its `BrokerError`, if any, is raised by `result`."""

    def __init__(self, steps: Callable[[], None]) -> None:
        super().__init__(name="commit", daemon=True)
        self._steps = steps
        self._error: BrokerError | None = None
        self.start()

    def run(self) -> None:
        try:
            self._steps()
        except BrokerError as error:
            self._error = error

    def result(self) -> None:
        """Wait until it is done."""
        self.join()
        if self._error is not None:
            raise self._error
