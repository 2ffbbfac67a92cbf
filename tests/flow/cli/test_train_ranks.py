"""`vitalstream train` as several processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model import artifact
from tests.flow.cli.test_train import QUICK, app, write_set

TORCHRUN = Path(sys.executable).with_name("torchrun")
CPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def sets(tmp_path):
    write_set(tmp_path, "a")
    write_set(tmp_path, "b", first=2000)
    return ["--data", str(tmp_path)]


def test_torchrun_trains_the_model_that_one_process_trains(sets, tmp_path):
    alone, both = ["--out", str(tmp_path / "alone")], ["--out", str(tmp_path / "both")]
    assert CliRunner().invoke(app, [*sets, *alone, *QUICK]).exit_code == 0
    command = [TORCHRUN, "--nproc-per-node", "2", "-m", "stream", "train", *sets, *both, *QUICK]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=CPU)
    figures = json.loads(result.stdout)
    one, two = artifact.load(tmp_path / "alone"), artifact.load(tmp_path / "both")
    assert figures["hash"] == two.hash
    for name, weights in one.state_dict().items():
        assert two.state_dict()[name].numpy() == pytest.approx(weights.numpy(), rel=1e-2, abs=1e-3)
    assert {path.name for path in (tmp_path / "both" / "checkpoints").iterdir()} == {
        path.name for path in (tmp_path / "alone" / "checkpoints").iterdir()
    }


def test_where_one_rank_fails_all_end(sets, tmp_path):
    """The second rank finds no data: it says so, and the first does not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "stream", "train", *data, "--out", str(tmp_path / "out"), *QUICK],
            stderr=subprocess.PIPE,
            text=True,
            env=CPU
            | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        )
        for rank, data in enumerate((sets, ["--data", str(tmp_path / "nowhere")]))
    ]
    told = [rank.communicate(timeout=120)[1].splitlines()[-1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 5]
    assert told[0] == "vitalstream: another process of this training ended or does not answer"
    assert "physionet.org" in told[1]
    assert not (tmp_path / "out" / "model.json").exists()
