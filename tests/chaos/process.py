"""A worker as a process. It is forked from one that has everything imported: starting it costs no seconds."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import armed

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["stream.cli.run", "tests.chaos.process"])
STACKS = signal.SIGUSR1
"""Has a worker write to its log where each of its threads is."""


class Process:
    """`vitalstream run` with `arguments`, which writes standard output and error to `log`. failpoint: as in
    `VITALSTREAM_FAILPOINT`, or empty."""

    def __init__(
        self, log: Path, environment: Mapping[str, str], failpoint: str = "", arguments: Sequence[str] = ()
    ) -> None:
        work = (str(log), dict(environment), failpoint, list(arguments))
        self._process = FORK.Process(target=_work, args=work)
        self._process.start()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """As `poll`, after waiting for the end, `timeout` seconds at most."""
        self._process.join(timeout)
        return self.poll()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)


def _work(log: str, environment: dict[str, str], failpoint: str, arguments: list[str]) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(out, descriptor)
    faulthandler.register(STACKS)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["vitalstream", "run", *arguments]
    if failpoint:
        os.environ[armed.VARIABLE] = failpoint
        armed.main()
    else:
        from stream.cli import main as cli

        cli.main()
