"""What the report compares is trained once, and again where its recipe changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import runs
from model.train.recipe import Recipe
from tests.flow.cli.test_train import write_set

TINY = Recipe(hidden_size=4, wide_size=4, epochs=1, batch_size=16, folds=2, calibration_folds=2)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.Runs:
    monkeypatch.setattr(runs, "SHIPPED", TINY)
    monkeypatch.setattr(runs, "CELLS", {"RNN": replace(TINY, cell="rnn", wide_size=0, folds=0)})
    monkeypatch.setattr(runs, "TRIED", {"no label, taught": replace(TINY, label_weight=0.0)})
    write_set(tmp_path, "a")
    found = runs.Runs(tmp_path, tmp_path / "runs", 1)
    found.make(1)
    return found


WAITS = """
import time
from bench.report.runs import _do
def wait(_):
    print('started', flush=True)
    time.sleep(600)
if __name__ == "__main__":
    _do([(wait, 1), (wait, 2)], 2)
"""


def written(made: runs.Runs) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in made.folder.glob("*/model.json")}


def test_only_what_changed_is_trained_again(made: runs.Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(made)
    assert set(first) == {"a-0", "RNN-0", "no-label-taught-0"}
    assert [model.name for model in made.light("RNN")] == ["rnn-4"]
    assert [model.name for model in made.calibrated()] == ["gru-4-wide-4"]

    monkeypatch.setitem(runs.CELLS, "RNN", replace(runs.CELLS["RNN"], hidden_size=5))
    made.make(1)
    second = written(made)
    assert [model.name for model in made.light("RNN")] == ["rnn-5"]
    assert {name for name in first if first[name] != second[name]} == {"RNN-0"}


@pytest.mark.slow
def test_the_workers_end_with_a_report_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(WAITS)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
    ) as parent:
        assert parent.stdout is not None
        for _ in range(2):
            assert parent.stdout.readline() == b"started\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == b"", "closed, once the last process that holds it is gone"
