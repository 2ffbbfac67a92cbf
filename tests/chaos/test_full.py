"""Everything at once, for long: half a million events of a thousand patients, and hardly a quiet moment."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.brokers import Brokers, brokers
from tests.chaos.conftest import MakeScene
from tests.chaos.injections import (
    die_at_failpoints,
    freeze_and_replace,
    freeze_and_thaw,
    kill_at_random,
    kill_broker,
    rebalance_during_restore,
    roll,
    scale,
)
from tests.chaos.scene import Scene

SEED = 22
RATE, PATIENTS, EVENTS = 700.0, 1000, 500_000
WORKERS = (0, 1, 2)
ROUNDS = int(os.environ.get("VITALSTREAM_CHAOS_ROUNDS", "5"))
"""In each: 8 random kills, 4 rolling restarts, 2 rebalances, a zombie, a broker kill. 5 are all."""
ATLEAST = {"kills": 50, "rolling restarts": 20, "rebalances": 10, "broker kills": 5}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_hours_of_bad_luck(tmp_path: Path, make_scene: MakeScene) -> None:
    rng = random.Random(SEED)
    with brokers(tmp_path / "kafka") as cluster:
        scene = make_scene(cluster.servers, supervised=True)
        with scene.feeding(RATE, PATIENTS, SEED) as feed:
            die_at_failpoints(scene, rng, WORKERS[:2])
            scene.crew.start(WORKERS[2])
            for number in range(ROUNDS):
                for act in _acts(scene, cluster, rng, number):
                    act()
            while feed.sent < EVENTS * ROUNDS / 5:
                scene.crew.check()
                time.sleep(1)
        scene.finish()
    injected = scene.report.injected
    injected["kills"] = injected["kills at failpoints"] + injected["kills at random"]
    if ROUNDS >= 5:
        assert all(injected[kind] >= least for kind, least in ATLEAST.items()), injected
        assert scene.report.found["events"] >= EVENTS


def _acts(scene: Scene, cluster: Brokers, rng: random.Random, number: int) -> Iterator[Callable[[], None]]:
    zombies = (freeze_and_thaw, freeze_and_replace)
    yield lambda: kill_at_random(scene, rng, 8)
    yield lambda: roll(scene, [*WORKERS, rng.choice(WORKERS)])
    yield lambda: zombies[number % 2](scene, rng.choice(WORKERS))
    yield lambda: _shrink_and_grow(scene)
    yield lambda: kill_broker(scene, cluster, 1, rng.uniform(0.5, 8))
    yield lambda: rebalance_during_restore(scene, WORKERS, rng)


def _shrink_and_grow(scene: Scene) -> None:
    """3 workers, then 1, then 3, then 1, then 3."""
    scene.note("rebalances", "two workers leave")
    scene.crew.stop(*WORKERS[1:])
    scene.recover()
    scale(scene, WORKERS[1:])
    scene.note("rebalances", "two workers join")
    for slot in WORKERS[1:]:
        scene.crew.start(slot)
    scene.recover()
