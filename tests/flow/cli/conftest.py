from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stream.cli import main as cli
from tests.flow.cli.states import States
from tests.flow.conftest import make_flow  # noqa: F401

SET_BY_MAIN = (
    (sys, "stdout"),
    (sys, "stderr"),
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
    (logging, "raiseExceptions"),
)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Vitalstream = Callable[..., Ended]


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Puts back what a command sets for its process."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    signal.set_wakeup_fd(-1)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def vitalstream(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitalstream:
    """Runs the command line in this process, without settings from the outer environment."""
    for name in os.environ:
        if name.startswith("VITALSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, **environment: str) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["vitalstream", *arguments])
            for name, value in environment.items():
                patch.setenv(name, value)
            for owner, name in SET_BY_MAIN:
                patch.setattr(owner, name, getattr(owner, name))
            cli.main()
        return Ended(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def states(vitalstream: Vitalstream, make_flow: Any) -> Callable[..., States]:  # noqa: F811
    def make(*arguments: Any, **flags: Any) -> States:
        return States(vitalstream, make_flow(*arguments, transaction_timeout=1, **flags))

    return make


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Four patients whose ends are known, and one without scores."""
    path = tmp_path / "outcomes.csv"
    path.write_text("RecordID,Survival,In-hospital_death\n1,-1,0\n2,-1,0\n3,2,1\n4,3,1\n5,-1,0\n")
    return path
