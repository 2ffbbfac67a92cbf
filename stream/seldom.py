"""A client that cannot reach a broker says so several times a second: equal lines are logged now and then."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

EVERY_S = 10.0
MOST_LINES = 256
CLIENTS = ("kafka", "librdkafka")
_VARYING = re.compile(r"rdkafka#\w+-\d+|\(after .*?\)|\d+(?:\.\d+)?(?= ?(?:ms|secs?|identical)\b)")
"""Numbers by which lines about the same failure differ."""


class Seldom(logging.Filter):
    """Lets one of equal lines of the Kafka clients through in `EVERY_S` seconds, with how many it left out,
    and none of their tracebacks. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}  # when logged last, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in CLIENTS:
            return True
        record.exc_info = None
        message = record.getMessage()
        left_out = self._left_out((record.name, record.levelno, _VARYING.sub("", message)))
        if left_out:
            record.msg, record.args = (
                f"{message} ({left_out} more such lines in {EVERY_S:.0f} s or longer)",
                (),
            )
        return left_out is not None

    def _left_out(self, line: tuple[str, int, str]) -> int | None:
        """How many such lines were left out since the last; None for one to leave out."""
        now = self._clock()
        with self._lock:
            logged, left_out = self._seen.get(line, (now - EVERY_S, 0))
            due = now - logged >= EVERY_S
            self._seen[line] = (now, 0) if due else (logged, left_out + 1)
            if len(self._seen) > MOST_LINES:
                self._seen = {line: seen for line, seen in self._seen.items() if now - seen[0] < EVERY_S}
        return left_out if due else None
