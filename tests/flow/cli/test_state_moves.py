"""`vitalstream state export` and `import`: from one cluster's worker to another's."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import Card, load, save
from model.risk_model import Calibration
from stream.columns.records import Outgoing
from stream.settings import SHIPPED_MODEL
from stream.worker.worker import Worker
from tests.flow.cli.conftest import Vitalstream
from tests.flow.cli.states import States, assert_tells_of_nobody, few, ward
from tests.flow.conftest import SLOW_IN_PYTHON
from tests.flow.flow import risks_by_patient, wait_until


def moved(state: States, states: Any, path: Path, partitions: int, **flags: Any) -> States:
    """Export, and import to topics of another number of partitions."""
    assert state("export", str(path)).code == 0
    other = states(partitions=partitions, **flags)
    ended = other("import", str(path))
    assert ended.code == 0, ended
    assert_tells_of_nobody(ended)
    return other


def cut(sent: Outgoing, at: int) -> list[Outgoing]:
    return [Outgoing("", sent.values[rows], sent.keys[rows]) for rows in (slice(0, at), slice(at, None))]


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("client", SLOW_IN_PYTHON)
def test_a_worker_goes_on_with_the_states_of_another_cluster(
    states: Any, tmp_path: Path, client: str, guarantee: str
) -> None:
    before, after = cut(ward(12, minutes=30), 180)
    whole, state, path = states(partitions=2), states(partitions=2), tmp_path / "states.safetensors"
    whole.feed(before, after)
    state.feed(before)
    other = moved(state, states, path, 3, client=client, processing_guarantee=guarantee)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert other.json("ls")["patients"] == state.json("ls")["patients"] == 12
    assert other.flow.committed() == {0: 0, 1: 0, 2: 0}
    assert other("verify", f"--imported={path}").code == 0

    other.feed(after)
    wanted = risks_by_patient(whole.flow.scored())
    found = risks_by_patient(other.flow.scored())
    for patient, risks in found.items():
        np.testing.assert_allclose(risks, wanted[patient][-len(risks) :], rtol=0, atol=1e-5)
    assert sum(map(len, found.values())) == len(after)
    assert other("verify", f"--imported={path}").code == 0
    assert other("verify").code == 6


def test_an_import_wants_a_clean_place_and_the_files_model(
    states: Any, tmp_path: Path, vitalstream: Vitalstream
) -> None:
    state, path = states(partitions=1), tmp_path / "states.safetensors"
    state.feed(few())
    assert state("export", str(path)).code == 0
    assert state("export", str(path)).code == 5
    full = state("import", str(path))
    assert full.code == 6
    assert "not empty" in full.err

    other = states(partitions=1)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "cut").write_bytes(damaged[:-9])
    for name in ("damaged", "cut", "nowhere"):
        ended = other("import", str(tmp_path / name))
        assert ended.code == 5
        assert name in ended.err
    alien = other_model(tmp_path / "alien")
    ended = other("import", str(path), model=alien)
    assert ended.code == 6
    assert "is of model" in ended.err
    assert_tells_of_nobody(full, ended)
    assert other.json("ls")["patients"] == 0
    assert other.flow.committed() == {}


def other_model(folder: Path) -> Path:
    model = load(SHIPPED_MODEL)
    model.calibrate(Calibration(2.0, 0.5, 2.0, 0.5))
    save(model, folder, Card(data="none"))
    return folder


def test_an_import_is_refused_while_the_group_has_members(states: Any, tmp_path: Path) -> None:
    state, path = states(partitions=1), tmp_path / "states.safetensors"
    state.feed(few())
    assert state("export", str(path)).code == 0
    other, stop = states(partitions=1), threading.Event()
    worker = Worker(other.flow.settings())
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: worker.health.unready() is None)
        ended = other("import", str(path))
        assert ended.code == 6
        assert "1 members" in ended.err
    finally:
        stop.set()
        thread.join(30)
