"""Libraries that a worker does without: an extra installs them for the commands that need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EXTRAS = {
    "jinja2": "report",
    "markupsafe": "report",
    "matplotlib": "report",
    "opacus": "private",
    "pyarrow": "train",
    "sklearn": "train",
    "threadpoolctl": "train",
}
"""Library → the extra that installs it."""
REPORTS = ("evaluate",)
"""Commands for which the extra `report` installs all."""


def missing_extra(error: ModuleNotFoundError, command: str | None) -> str | None:
    """What to say if the library that was not found belongs to an extra; None if to none."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    if extra == "train" and command in REPORTS:
        extra = "report"
    return extra and f"this needs the extra {extra}: pip install 'vitalstream[{extra}]'"


def unavailable(error: ModuleNotFoundError) -> Callable[..., Any]:
    """A command that is listed, and raises `error` when it is run."""

    def run() -> None:
        raise error

    return run
