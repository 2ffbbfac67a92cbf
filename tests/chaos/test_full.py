"""Everything at once, for long: half a million events, and hardly a quiet moment."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos import changing
from tests.chaos.brokers import Brokers, brokers
from tests.chaos.conftest import MakeScene
from tests.chaos.failing import HANGING, fail_at_each, names_for
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
RATE, PATIENTS, EVENTS = 800.0, 1000, 500_000
CALM_RATE, FEW_PATIENTS = 300.0, 200
WORKERS = (0, 1, 2)
ALL_ROUNDS = 4
ROUNDS = int(os.environ.get("VITALSTREAM_CHAOS_ROUNDS", ALL_ROUNDS))
"""In each: 10 random kills, 4 rolling restarts, 4 rebalances, a zombie, a broker kill."""
ATLEAST = {"kills": 50, "rolling restarts": 16, "rebalances": 16, "broker kills": 4, "raises": 60}
CLIENTS = ("librdkafka", "kafka-python")
GUARANTEES = ("exactly_once", "at_least_once")
EXPLAINED = {"contributors": "all"}
OTHERS = [
    one for one in [(g, c) for c in CLIENTS for g in GUARANTEES] if one != ("exactly_once", "librdkafka")
]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_hours_of_bad_luck(tmp_path: Path, make_scene: MakeScene) -> None:
    rng = random.Random(SEED)
    with brokers(tmp_path / "kafka") as cluster:
        scene = make_scene(cluster.servers, supervised=True)
        with scene.feeding(RATE, PATIENTS, SEED) as feed:
            die_at_failpoints(scene, rng, WORKERS[:2])
            fail_at_each(scene, rng, WORKERS, {*names_for("exactly_once")} - {"explain"}, "raise")
            fail_at_each(scene, rng, WORKERS, HANGING, "hang")
            for number in range(ROUNDS):
                for act in _acts(scene, cluster, rng, number):
                    act()
            while feed.sent < EVENTS * ROUNDS / ALL_ROUNDS:
                scene.crew.check()
                time.sleep(1)
        scene.finish()
    injected = scene.report.injected
    injected["kills"] = injected["kills at failpoints"] + injected["kills at random"]
    if ROUNDS >= ALL_ROUNDS:
        assert all(injected[kind] >= least for kind, least in ATLEAST.items()), injected
        assert scene.report.found["events"] >= EVENTS


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("guarantee", "client"), OTHERS)
def test_workers_that_raise_at_every_failpoint(
    kafka: str, make_scene: MakeScene, guarantee: str, client: str
) -> None:
    rng = random.Random(SEED)
    scene = make_scene(kafka, client=client, guarantee=guarantee, settings=EXPLAINED, supervised=True)
    with scene.feeding(CALM_RATE, FEW_PATIENTS, SEED):
        fail_at_each(scene, rng, WORKERS, names_for(guarantee), "raise")
    scene.finish()


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("which", changing.OUTPUTS)
def test_an_output_topic_that_is_made_again(
    kafka: str, make_scene: MakeScene, which: str, guarantee: str
) -> None:
    scene = make_scene(kafka, guarantee=guarantee, supervised=True)
    changing.begin(scene)
    changing.remake_output(scene, which)


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_an_input_topic_that_is_made_again(kafka: str, make_scene: MakeScene, client: str) -> None:
    scene = make_scene(kafka, client=client, supervised=True)
    changing.begin(scene)
    changing.remake_input(scene)


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_changelog_that_is_made_again(kafka: str, make_scene: MakeScene, guarantee: str) -> None:
    scene = make_scene(kafka, guarantee=guarantee, supervised=True)
    changing.begin(scene)
    changing.remake_changelog(scene)


@pytest.mark.slow
def test_a_broker_that_is_wiped(tmp_path: Path, make_scene: MakeScene) -> None:
    with brokers(tmp_path / "kafka") as cluster:
        scene = make_scene(cluster.servers, supervised=True)
        changing.begin(scene)
        changing.wipe(scene, cluster)


def _acts(scene: Scene, cluster: Brokers, rng: random.Random, number: int) -> Iterator[Callable[[], None]]:
    zombies = (freeze_and_thaw, freeze_and_replace)
    yield lambda: kill_at_random(scene, rng, 10, most_s=4)
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
