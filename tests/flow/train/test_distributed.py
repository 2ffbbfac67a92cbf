import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.train.distributed import ALONE, ProcessGroup, process_group
from tests.flow.train import ranks
from tests.unit.model import synthetic

TORCHRUN = Path(sys.executable).with_name("torchrun")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return ranks.results(ALONE, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two processes found that torchrun started."""
    folder = tmp_path_factory.mktemp("both")
    command = [TORCHRUN, "--nproc-per-node", "2", "-m", "tests.flow.train.ranks", folder]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert {path.name for path in folder.glob("*.checkpoint")} == {"step.checkpoint", "epoch.checkpoint"}
    return [torch.load(folder / f"rank-{rank}.pt") for rank in (0, 1)]


def test_two_ranks_lose_at_every_step_what_one_process_loses(alone, both):
    for found in both:
        assert len(found["step"]) == ranks.BY_STEP.epochs
        for (loss, validation), (lone_loss, lone_validation) in zip(
            found["step"], alone["step"], strict=True
        ):
            assert loss == pytest.approx(lone_loss, rel=1e-5)
            assert validation == pytest.approx(lone_validation, rel=1e-5)


def test_parts_of_unlike_size_weigh_what_they_should(alone, both):
    assert both[0]["epoch"] == both[1]["epoch"]
    for one, other in zip(both[0]["epoch"], alone["epoch"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("name", ["step", "epoch"])
def test_every_rank_keeps_the_same_averaged_weights(alone, both, name):
    first, second = (found[f"{name} weights"] for found in both)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone[f"{name} weights"], rtol=1e-3, atol=1e-4)


def test_what_is_shared_is_made_once(both):
    assert [found["shared"] for found in both] == ["by rank 0"] * 2
    assert [found["calls"] for found in both] == [1, 0]


def test_private_gradients_add_up_over_the_ranks(alone, both):
    for found in both:
        torch.testing.assert_close(found["private"], alone["private"], rtol=1e-4, atol=1e-6)


@synthetic.PROPERTY
@given(st.integers(0, 40), st.integers(1, 6))
def test_parts_are_of_like_size_and_miss_nobody(items, size):
    parts = [list(range(items))[ProcessGroup(rank, size).shard] for rank in range(size)]
    assert sorted(item for part in parts for item in part) == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group() as group:
        assert group is ALONE
        assert group.is_main
        assert group.total(0.25) == 0.25
        assert group.broadcast(lambda: "made") == "made"
