"""Runs kafka-python's rebalance callbacks on the thread that called `poll`.

kafka-python calls a rebalance listener on its own network thread, and as long as the listener has not
returned, neither does the `poll` that it belongs to; on the network thread a listener cannot commit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from kafka.future import Future as LoopFuture

Result = TypeVar("Result")


class Handover:
    """A helper thread for calls that wait for callbacks, and the way of a callback to the caller's thread.

    wake: schedules a function on the network thread (`call_soon_threadsafe` of kafka-python's loop).
    """

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-python-poll")
        self._inbox: SimpleQueue[Callable[[], None] | Future[Any]] = SimpleQueue()
        self._error: BaseException | None = None

    def run(self, call: Callable[[], Result]) -> Result:
        """Run `call` on the helper thread, and on this one the callbacks that it waits for.

        Raises the error of a callback, or otherwise that of `call`.
        """
        outcome = self._helper.submit(call)
        outcome.add_done_callback(self._inbox.put)
        while (item := self._inbox.get()) is not outcome:
            if not isinstance(item, Future):
                item()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return outcome.result()

    async def ask(self, callback: Callable[[], None]) -> None:
        """Await, on the network thread, that the thread inside `run` has run `callback`."""
        done: Any = LoopFuture()

        def answer() -> None:
            try:
                callback()
            except BaseException as error:
                self._error = self._error or error
            self._wake(lambda: settle(done))

        self._inbox.put(answer)
        await done

    def close(self) -> None:
        self._helper.shutdown(wait=False)


def settle(done: Any) -> None:
    done.success(None)
