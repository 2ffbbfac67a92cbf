"""What a command shows if the code page lacks characters, the disk is full, or nobody reads the pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.cli import state, watch
from stream.kafka.embedded import PARTITIONS, EmbeddedBroker
from stream.ward.board import Board
from tests.flow.cli.conftest import Ended, Vitalstream
from tests.unit.ward.boards import records, score

Onto = Callable[..., Ended]

FULL = "vitalstream: standard output: No space left on device\n"
GONE = "vitalstream: standard output: Broken pipe\n"
VERSION = ("--version",)
HELP = ("run", "--help")
DEMO = ("demo", "--for", "0", "--patients", "1")
WATCH = ("watch", "--once")
CONFIG = ("run", "--print-config")
COMMANDS = [VERSION, ("--help",), HELP, CONFIG, DEMO, WATCH, (*WATCH, "--json"), ("state", "ls"), ("doctor",)]
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}


@pytest.fixture
def onto(vitalstream: Vitalstream, embedded: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Onto:
    """Runs a command whose standard output is this file. There is one patient to be watched, and no state."""

    def catch_up(board: Board, *_: object) -> None:
        board.score(records(score("患者-1", 0.2)))

    embedded.create("vitals.observations.v1", "vitals.risk-scores.v1", "vitals.dead-letters.v1")
    monkeypatch.setattr(watch, "partitions", lambda *_: PARTITIONS)
    monkeypatch.setattr(watch, "_catch_up", catch_up)
    monkeypatch.setattr(state, "read_changelog", lambda *_: {})

    def run(file: io.TextIOWrapper, *arguments: str) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            return vitalstream(*arguments, VITALSTREAM_BOOTSTRAP_SERVERS=embedded.bootstrap_servers)

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_said_in_a_sentence(onto: Onto, command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        ended = onto(io.TextIOWrapper(full, "utf-8", write_through=True), *command)
    assert (ended.code, ended.err) == (1, FULL)


@pytest.mark.parametrize("command", [HELP, DEMO, WATCH], ids=" ".join)
@pytest.mark.parametrize("code_page", ["cp1252", "ascii"])
def test_a_character_that_the_code_page_lacks_is_replaced(
    onto: Onto, code_page: str, command: tuple[str, ...]
) -> None:
    shown = io.BytesIO()
    ended = onto(io.TextIOWrapper(shown, code_page), *command)
    assert (ended.code, ended.err) == (0, "")
    assert command != WATCH or b"??-1" in shown.getvalue()


def test_a_view_that_cannot_be_saved_is_said_in_a_sentence(vitalstream: Vitalstream) -> None:
    ended = vitalstream(*DEMO, "--save", "/dev/full")
    assert (ended.code, ended.err) == (5, "vitalstream: cannot write /dev/full: No space left on device\n")


def process(*arguments: str, stdout: int, **environment: str) -> tuple[int, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VITALSTREAM_")}
    ended = subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env=clean | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    "environment", [{}, {"PYTHONUNBUFFERED": "1"}, ASCII], ids=["", "unbuffered", "ascii"]
)
def test_a_process_that_cannot_write_ends_with_one_line(environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    environment = {"PYTHONUNBUFFERED": ""} | environment
    assert process(*VERSION, stdout=full, **environment) == (1, FULL)
    assert process(*VERSION, stdout=write, **environment) == (1, GONE)
    os.close(write)
    os.close(full)


def test_a_command_that_fails_keeps_its_exit_code_on_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        code, said = process(*VERSION, "--nonsense", stdout=full.fileno())
        unheard = subprocess.run(
            [sys.executable, "-m", "stream", *VERSION, "--nonsense"], stderr=full, check=False, timeout=60
        )
    assert (code, "Traceback" in said, unheard.returncode) == (2, False, 2)


def test_the_versions_are_one_line(vitalstream: Vitalstream) -> None:
    ended = vitalstream(*VERSION)
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    for name in ("vitalstream", "model artifact", "torch", "librdkafka", "kafka-python"):
        assert f"{name} " in line
