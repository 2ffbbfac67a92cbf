"""Places at which a test kills the worker. Off unless `VITALSTREAM_FAILPOINT` names one: `NAME` or `NAME:N`,
to die (SIGKILL, no clean-up) when the place is reached for the N-th time."""

from __future__ import annotations

import os
import signal

VARIABLE = "VITALSTREAM_FAILPOINT"
NAMES = (
    "polled",
    "before_step",
    "after_step",
    "scores_sent",
    "dead_letters_sent",
    "before_changelog",
    "changelog_sent",
    "offsets_sent",
    "committed",
    "assigned",
    "restored",
)


def _parsed(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    if name and name not in NAMES:
        raise ValueError(f"{VARIABLE}: no failpoint {name}; there are {', '.join(NAMES)}")
    return name, int(count or 1)


_armed, _left = _parsed(os.environ.get(VARIABLE, ""))


def reach(name: str) -> None:
    """Die here, where this failpoint is armed and reached for the last time."""
    global _left
    if name != _armed:
        return
    _left -= 1
    if not _left:
        os.kill(os.getpid(), signal.SIGKILL)
