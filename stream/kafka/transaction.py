"""What the transactional sinks of both clients know of their transaction. It is ended on a thread of its own:
the loop decodes and steps on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress

from stream.background import COMMIT, spawn
from stream.errors import BrokerError, CommitError


class Transaction:
    """open: records may be in it. stuck: the client did not come back from ending it, and its producer may
    not be touched any more."""

    def __init__(self) -> None:
        self.open = self.stuck = False
        self._ending: Future[None] | None = None
        self._until = 0.0
        self._on_committed: list[Callable[[], None]] = []

    @property
    def ending(self) -> bool:
        """Whether it is being ended, or was since `finish`."""
        return self._ending is not None

    @property
    def ended(self) -> bool:
        """Whether `finish` would not wait: its steps are done, or their time is over."""
        return self._ending is not None and (self._ending.done() or time.monotonic() > self._until)

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
        self._until = time.monotonic() + patience
        self._ending = spawn(COMMIT, steps)

    def finish(self) -> None:
        """Wait until it has ended, if it is being ended. Raises what its steps raised, and `CommitError` if
        their time is over: librdkafka's `send_offsets_to_transaction` may never return
        (confluentinc/librdkafka#5456)."""
        ending, self._ending = self._ending, None
        if ending is None:
            return
        wait([ending], max(self._until - time.monotonic(), 0))
        self.stuck = not ending.done()
        if self.stuck:
            raise CommitError("the epoch was not committed: the client does not answer")
        ending.result()
        self.open = False
        calls, self._on_committed = self._on_committed, []
        for call in calls:
            call()

    def give_up(self) -> None:
        """Wait likewise, whatever the broker makes of it, and forget all but whether it is stuck. Raises
        `ThreadError`."""
        try:
            with suppress(BrokerError):
                self.finish()
        finally:
            self.open, self._on_committed = False, []
