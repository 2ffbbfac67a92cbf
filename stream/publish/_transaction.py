"""What the transactional sinks of both clients know of their transaction. It is ended on a thread of its own:
the loop decodes and steps on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from stream.errors import BrokerError, CommitError


class Transaction:
    """open: records may be in it. stuck: the client did not come back from ending it, and its producer may
    not be touched any more."""

    def __init__(self) -> None:
        self.open = self.stuck = False
        self._ending: _Ending | None = None
        self._on_committed: list[Callable[[], None]] = []

    @property
    def ending(self) -> bool:
        """Whether it is being ended, or was since `finish`."""
        return self._ending is not None

    @property
    def ended(self) -> bool:
        """Whether `finish` would not wait."""
        return self._ending is not None and not self._ending.is_alive()

    def begin(self, begin: Callable[[], None]) -> None:
        """Call `begin`, unless it is open."""
        if not self.open:
            begin()
            self.open = True

    def on_committed(self, call: Callable[[], None]) -> None:
        """Let `finish` call this once it is committed."""
        self._on_committed.append(call)

    def end(self, steps: Callable[[], None], patience: float) -> None:
        """Run `steps` on a thread of their own, `patience` seconds at most. Does not block."""
        self._ending = _Ending(steps, patience)

    def finish(self) -> None:
        """Wait until it has ended, if it is being ended. Raises what its steps raised, `CommitError` where
        their time is over."""
        ending, self._ending = self._ending, None
        if ending is None:
            return
        try:
            ending.result()
        finally:
            self.stuck = ending.is_alive()
        self.open = False
        calls, self._on_committed = self._on_committed, []
        for call in calls:
            call()

    def give_up(self) -> None:
        """Wait likewise, whatever becomes of it, and forget all but whether it is stuck."""
        with suppress(BrokerError):
            self.finish()
        self.open, self._on_committed = False, []


class _Ending(threading.Thread):
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
