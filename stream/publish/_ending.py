"""The end of a transaction, on a thread of its own: the loop decodes and steps on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stream.errors import CommitError


class Ending(threading.Thread):
    """Runs `steps` once; `result` raises what they raise. patience: seconds that they may take."""

    def __init__(self, steps: Callable[[], None], patience: float) -> None:
        super().__init__(name="commit", daemon=True)
        self._steps = steps
        self._error: BaseException | None = None
        self._until = time.monotonic() + patience
        self.start()

    def run(self) -> None:
        try:
            self._steps()
        except BaseException as error:
            self._error = error

    def result(self) -> None:
        """Wait until it is done. Raises `CommitError` where its patience is over: librdkafka's
        `send_offsets_to_transaction` may never return (confluentinc/librdkafka#5456)."""
        self.join(max(self._until - time.monotonic(), 0))
        if self.is_alive():
            raise CommitError("the epoch was not committed: the client does not answer")
        if self._error is not None:
            raise self._error
