"""The import contract holds every module: one that stands in no layer fails it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(tmp_path):
    """A copy of the packages and of the contract."""
    for package in ("stream", "model"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("pretrained", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(house):
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, timeout=200)


def test_a_module_in_no_layer_fails_the_check(house):
    (house / "stream" / "stray.py").write_text("")
    ended = check(house)
    assert ended.returncode == 1
    assert "stray" in ended.stdout


def test_an_import_upward_fails_the_check(house):
    with (house / "stream" / "batch" / "waves.py").open("a") as waves:
        waves.write("\nimport stream.state.store\nimport stream.worker.pipeline\n")
    ended = check(house)
    assert ended.returncode == 1
    assert "stream.batch is not allowed to import stream.worker" in ended.stdout
