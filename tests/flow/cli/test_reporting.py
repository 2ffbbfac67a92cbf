"""What is shown of an exception that nobody expected: enough to find its cause, and no patient."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from stream.console import about
from tests.flow.cli.conftest import Ended, Vitalstream

CANARY = "canary-patient-4711"


class Outlandish(BaseException):
    """As a library's panic, which is no `Exception`."""


def endless(depth: int = 0) -> int:
    return endless(depth + 1) + 1


def failing(
    vitalstream: Vitalstream, monkeypatch: pytest.MonkeyPatch, error: object, **environment: str
) -> Ended:
    """A command in which this is raised, or called."""

    def fail() -> None:
        if isinstance(error, BaseException):
            raise error
        endless()

    monkeypatch.setattr(about, "versions", fail)
    return vitalstream("--version", **environment)


@pytest.mark.parametrize(
    "error",
    [
        KeyError(CANARY),
        MemoryError(CANARY),
        OSError(5, "Input/output error", CANARY),
        Outlandish(CANARY),
        endless,
    ],
    ids=["KeyError", "MemoryError", "OSError", "Outlandish", "RecursionError"],
)
def test_an_error_that_nobody_expected_is_one_line_and_exit_code_1(
    vitalstream: Vitalstream, monkeypatch: pytest.MonkeyPatch, error: object, request: pytest.FixtureRequest
) -> None:
    ended = failing(vitalstream, monkeypatch, error)
    (line,) = ended.err.splitlines()
    assert (ended.code, ended.out) == (1, "")
    assert line.startswith(f"vitalstream: internal error: {request.node.callspec.id}")
    assert "tests/flow/cli/test_reporting.py:" in line
    assert CANARY not in line


def test_at_the_log_level_debug_the_places_of_the_stack_follow(
    vitalstream: Vitalstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = failing(vitalstream, monkeypatch, KeyError(CANARY), VITALSTREAM_LOG_LEVEL="DEBUG")
    first, *places = ended.err.splitlines()
    assert "internal error: KeyError" in first
    assert any(place.startswith("vitalstream:   stream/console/about.py:") for place in places)
    assert CANARY not in ended.err
    assert "Traceback" not in ended.err


def test_an_interrupted_command_is_exit_code_130(
    vitalstream: Vitalstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = failing(vitalstream, monkeypatch, KeyboardInterrupt())
    assert (ended.code, ended.err) == (130, "")


def program(text: str) -> subprocess.CompletedProcess[str]:
    begun = "import threading\nfrom stream.console.reporting import report_exceptions\nreport_exceptions()\n"
    return subprocess.run(
        [sys.executable, "-c", begun + textwrap.dedent(text).replace("CANARY", repr(CANARY))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise KeyError(CANARY)", "vitalstream: internal error: KeyError at <string>:4 in <module>"),
        (
            """
            def fail():
                raise SystemExit(CANARY)
            thread = threading.Thread(target=fail, name="restore")
            thread.start()
            thread.join()
            """,
            "thread restore ended: SystemExit at <string>:6 in fail",
        ),
        (
            """
            class Odd:
                def __del__(self):
                    raise KeyError(CANARY)
            Odd()
            """,
            "an error that nobody can catch: KeyError at <string>:7 in __del__",
        ),
        ("import logging; logging.warning('%d', CANARY)", ""),
    ],
    ids=["uncaught", "thread", "unraisable", "logging"],
)
def test_outside_of_the_command_too_nothing_shows_a_message_or_a_traceback(text: str, said: str) -> None:
    assert program(text).stderr.strip() == said
