"""A worker's installation has every command: one whose libraries are missing says which extra it needs."""

import subprocess
import sys

import pytest

from stream.console.extras import EXTRAS

WITHOUT = f"""\
import sys
for library in {sorted(EXTRAS)}:
    sys.modules[library] = None
from stream.cli.main import main
sys.argv = ["vitalstream", *sys.argv[1:]]
main()
"""


def vitalstream(*arguments):
    """Run the command where no library of an extra is installed."""
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "data", "--out", "model"], "train"),
        (["replay", "data", "--speed", "1"], "train"),
        (["evaluate", "scores.jsonl", "--outcomes", "outcomes.csv"], "report"),
    ],
)
def test_a_command_says_which_extra_it_needs(arguments, extra):
    ended = vitalstream(*arguments)
    assert ended.returncode == 2
    expected = f"vitalstream: this needs the extra {extra}: pip install 'vitalstream[{extra}]'\n"
    assert ended.stderr == expected


@pytest.mark.parametrize("command", [[], ["run"]])
def test_a_worker_does_without_the_extras(command):
    ended = vitalstream(*command, "--help")
    assert ended.returncode == 0, ended.stderr
