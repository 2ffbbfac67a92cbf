"""Another model takes over: its states are made beside the running workers, and no event lacks a score."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from model.artifact import Card, read_description, save
from tests.flow.conftest import SLOW_IN_PYTHON, MakeFlow
from tests.flow.feeder import Feeder
from tests.flow.flow import PATIENCE_S, Flow, places
from tests.flow.test_group import PARTITIONS, Working
from tests.unit.model.synthetic import model

EVERY = "0.5"


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    save(model(hidden_size=8, seed=3), tmp_path / "new", Card(data="none"))
    return tmp_path / "new"


def rewarming(flow: Flow, new: Path) -> subprocess.Popen[str]:
    flags = flow.flags | {"application_id": f"{flow.flags['application_id']}-new", "model": new}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    beside = flow.flags["application_id"]
    command = [sys.executable, "-m", "stream", "rewarm", "--beside", beside, "--every", EVERY, "--json"]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_caught_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + PATIENCE_S
    for line in process.stdout:
        if json.loads(line)["caught_up"]:
            return
        assert time.monotonic() < deadline, line
    raise AssertionError(f"it ended: {process.stderr.read() if process.stderr else ''}")


@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_new_model_takes_over_where_the_old_one_stopped(
    make_flow: MakeFlow, client: str, other_model: Path
) -> None:
    flow = make_flow(client, PARTITIONS)
    with Working(flow) as worker, Feeder(flow.servers, flow.observations):
        worker.start()
        worker.scores_more()
        process = rewarming(flow, other_model)
        try:
            until_caught_up(process)
            worker.leave()
            output, log = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, log
    last = json.loads(output.splitlines()[-1])
    assert last["complete"] and last["behind"] == 0
    old = flow.committed()
    assert flow.committed(f"{flow.flags['application_id']}-new") == old
    assert last["agreement"]["compared"] > 0
    assert len(flow.scored()) == sum(old.values()), "nothing but the old model's scores so far"

    flow.run(application_id=f"{flow.flags['application_id']}-new", model=other_model)
    scored = flow.scored()
    inputs = [(one.partition, one.offset) for one in flow.written(flow.observations)]
    assert sorted(places(scored)) == inputs
    new_hash = read_description(other_model).hash[:16]
    new = [score for score in scored if score["model"]["hash"] == new_hash]
    assert new
    for score in scored:
        place = score["source"]
        assert (score["model"]["hash"] == new_hash) == (place["offset"] >= old.get(place["partition"], 0))

    uninterrupted = flow.scored_alone(model=other_model)
    risks = {place: one["risk"] for place, one in zip(places(uninterrupted), uninterrupted, strict=True)}
    wanted = [risks[place] for place in places(new)]
    np.testing.assert_allclose([one["risk"] for one in new], wanted, atol=1e-5)


@pytest.mark.slow
def test_it_is_not_done_while_the_old_workers_run_and_goes_on_after_a_kill(
    make_flow: MakeFlow, other_model: Path
) -> None:
    flow = make_flow("librdkafka", 1)
    with Working(flow) as worker, Feeder(flow.servers, flow.observations):
        worker.start()
        worker.scores_more()
        for end in (signal.SIGKILL, signal.SIGTERM):
            process = rewarming(flow, other_model)
            try:
                until_caught_up(process)
                process.send_signal(end)
                output, log = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
            assert process.returncode == (-end if end == signal.SIGKILL else 1), log
            assert '"complete": true' not in output
        worker.leave()
    new = flow.committed(f"{flow.flags['application_id']}-new")
    assert 0 < new[0] <= flow.committed()[0]
