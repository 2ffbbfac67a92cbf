"""SIGTERM and SIGINT at every moment of a process's life, also as PID 1 of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.console.stopping import AGAIN_S, SHOW_CURSOR

NOWHERE = (
    "--bootstrap-servers",
    "localhost:1",
    "--metrics-port",
    "0",
    "--processing-guarantee",
    "at_least_once",
)
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc")
PATIENCE_S = 60.0
ENDED_AT_ONCE = "vitalstream: ended at once; nothing more is committed\n"


def contained() -> tuple[str, ...]:
    """Makes a process PID 1, if that is permitted here."""
    permitted = subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0
    return CONTAINER if permitted else ()


class Process:
    """pid: of Python itself."""

    def __init__(self, command: list[str], before: tuple[str, ...], stderr: int) -> None:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("VITALSTREAM_")}
        self._popen = subprocess.Popen(
            [*before, *command], env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        self.pid = self._popen.pid
        if before:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
            wait_until(lambda: bool(children.read_text()))
            self.pid = int(children.read_text())
        wait_until(self.handles_signals)

    def handles_signals(self) -> bool:
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        python = sys.executable in Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")[0]
        return python and all(caught >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGINT))

    def has_loaded(self, library: str) -> bool:
        return library in Path(f"/proc/{self.pid}/maps").read_text()

    def says(self, line: str) -> None:
        """Wait for this line on its standard output."""
        assert self._popen.stdout and self._popen.stdout.readline() == f"{line}\n"

    def stop(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def ended(self) -> tuple[int, str]:
        """Exit code and what it said on standard error."""
        _, said = self._popen.communicate(timeout=PATIENCE_S)
        return self._popen.returncode, said

    def close(self) -> None:
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._popen.communicate()


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def begin(*command: str, before: tuple[str, ...] = (), stderr: int = subprocess.PIPE) -> Process:
        started.append(Process([sys.executable, *command], before, stderr))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.parametrize("after", [0.0, 0.1, 0.5, 1.0, 2.5])
def test_a_worker_that_is_stopped_while_it_starts_ends_within_two_seconds_with_0(
    start: Start, after: float
) -> None:
    process = start("-m", "stream", "run", *NOWHERE, before=contained())
    assert not process.has_loaded("libtorch")
    time.sleep(after)
    stopped = time.monotonic()
    process.stop(signal.SIGTERM)
    code, said = process.ended()
    assert (code, "Traceback" in said) == (0, False), said
    assert time.monotonic() - stopped < 2.0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_another_command_that_is_stopped_while_it_starts_ends_as_the_signal_says(
    start: Start, number: int, code: int
) -> None:
    process = start("-m", "stream", "doctor", *NOWHERE)
    process.stop(number)
    assert process.ended() == (code, "vitalstream: stopped\n")


LOOPING = """
import hashlib, sys, time
from stream.console.stopping import handle_signals, started, stop_on_signals
handle_signals()
started()
stop = stop_on_signals()
print("looping", flush=True)
"""
BUSY = LOOPING + "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # a C function that looks at no signal
WORKING = """
import time
from stream.console.stopping import handle_signals, started
handle_signals()
started()
print("working", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_loop_at_once(start: Start, number: int) -> None:
    process = start("-c", BUSY)
    process.says("looping")
    process.stop(number)
    time.sleep(AGAIN_S + 0.2)
    assert process.running
    process.stop(number)
    assert process.ended() == (128 + number, ENDED_AT_ONCE)


def test_a_terminal_and_a_supervisor_that_both_stop_a_loop_are_one_stop(start: Start) -> None:
    process = start("-c", LOOPING + "stop.wait(); time.sleep(0.2); print('committed')")
    process.says("looping")
    process.stop(signal.SIGINT)
    process.stop(signal.SIGTERM)
    process.says("committed")
    assert process.ended() == (0, "")


def test_a_command_without_a_loop_is_interrupted_and_ended_by_the_second_signal(start: Start) -> None:
    process = start("-c", WORKING)
    process.says("working")
    process.stop(signal.SIGINT)
    process.says("interrupted")
    time.sleep(AGAIN_S + 0.2)
    process.stop(signal.SIGINT)
    assert process.ended() == (130, ENDED_AT_ONCE)


def test_the_cursor_of_the_terminal_comes_back(start: Start) -> None:
    ours, theirs = os.openpty()
    process = start("-c", BUSY, stderr=theirs)
    process.says("looping")
    process.stop(signal.SIGINT)
    time.sleep(AGAIN_S + 0.2)
    process.stop(signal.SIGINT)
    assert process.ended()[0] == 130
    assert os.read(ours, 1024).startswith(SHOW_CURSOR)
    os.close(ours)
    os.close(theirs)


def test_a_command_without_a_loop_is_terminated(start: Start) -> None:
    process = start("-c", WORKING, before=contained())
    process.says("working")
    process.stop(signal.SIGTERM)
    assert process.ended() == (143, "vitalstream: stopped\n")
