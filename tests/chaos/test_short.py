"""Workers that are killed, frozen, joined and left while events flow: nothing lost, double or wrong."""

from __future__ import annotations

import random

import pytest

from tests.chaos.conftest import MakeScene
from tests.chaos.failing import fail_at_each
from tests.chaos.injections import die_at_failpoints, freeze_and_thaw, kill_at_random, scale

RATE = 400.0
PATIENTS = 200
SEED = 20
RAISING = {
    "exactly_once": ("after_step", "offsets_sent", "restore.poll.done", "source.close"),
    "at_least_once": ("store.write_stays.done", "source.commit.done", "acknowledged", "restored"),
}
HANGING: dict[str, tuple[str, ...]] = {"exactly_once": ("decode.decode",), "at_least_once": ()}
"""A few of all: the full version has each."""


def test_a_worker_that_dies_at_every_failpoint(kafka: str, make_scene: MakeScene) -> None:
    scene, rng = make_scene(kafka), random.Random(SEED)
    with scene.feeding(RATE, PATIENTS, SEED):
        die_at_failpoints(scene, rng, slots=(0, 1))
    scene.finish()


def test_workers_that_join_leave_freeze_and_die(kafka: str, make_scene: MakeScene) -> None:
    scene, rng = make_scene(kafka), random.Random(SEED)
    with scene.feeding(RATE, PATIENTS, SEED):
        scene.crew.start(0)
        scene.recover()
        scale(scene, [1, 2])
        scene.crew.start(1)
        scene.recover()
        freeze_and_thaw(scene, 0)
        kill_at_random(scene, rng, 2)
    scene.finish()


@pytest.mark.parametrize("guarantee", RAISING)
def test_workers_that_raise_and_hang(kafka: str, make_scene: MakeScene, guarantee: str) -> None:
    scene, rng = make_scene(kafka, guarantee=guarantee, supervised=True), random.Random(SEED)
    with scene.feeding(RATE, PATIENTS, SEED):
        fail_at_each(scene, rng, (0, 1), RAISING[guarantee], "raise")
        fail_at_each(scene, rng, (0, 1), HANGING[guarantee], "hang")
    scene.finish()


@pytest.mark.slow
def test_workers_with_kafka_python(kafka: str, make_scene: MakeScene) -> None:
    scene, rng = make_scene(kafka, client="kafka-python"), random.Random(SEED)
    names = ["scores_sent", "offsets_sent"]
    with scene.feeding(RATE / 2, PATIENTS, SEED):
        die_at_failpoints(scene, rng, (0, 1), names)
    scene.finish()
