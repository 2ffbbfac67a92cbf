"""What is done to the workers of a scene while events flow. Each waits until they have recovered."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence

from tests.chaos import crew
from tests.chaos.brokers import Brokers
from tests.chaos.proxy import Fault, Proxy, Request
from tests.chaos.scene import POLL_S, Scene

FATAL = (
    "polled", "before_step", "after_step", "scores_sent", "dead_letters_sent", "before_changelog",
    "changelog_sent", "offsets_sent", "committed", "assigned", "restored",
)  # fmt: skip
"""Where workers are killed: each leaves something else half done."""

AT_START = {"assigned", "restored"}
SESSION_S = 6.0
LAST_REACHES = 12
"""A failpoint within the loop kills when it is reached for the 1st to the 12th time."""


def die_at_failpoints(
    scene: Scene, rng: random.Random, slots: Sequence[int] = (0,), names: Sequence[str] = FATAL
) -> None:
    """One death at each failpoint, in random order, the workers of `slots` at the same time. The next one in
    a slot restores what the last one left; in the end each runs on without a failpoint."""
    left = rng.sample(list(names), len(names))
    armed = {slot: _arm(scene, slot, left.pop(), rng) for slot in slots}
    while armed:
        time.sleep(POLL_S)
        for slot, failpoint in list(armed.items()):
            if not scene.crew.has_died(slot, failpoint):
                continue
            scene.note("kills at failpoints", f"slot {slot} killed at {failpoint}")
            scene.report.injected[f"killed at {failpoint.partition(':')[0]}"] += 1
            if left:
                armed[slot] = _arm(scene, slot, left.pop(), rng)
            else:
                del armed[slot]
                scene.crew.start(slot)
    scene.recover()


def _arm(scene: Scene, slot: int, name: str, rng: random.Random) -> str:
    failpoint = f"{name}:{1 if name in AT_START else rng.randint(1, LAST_REACHES)}"
    scene.crew.start(slot, failpoint)
    return failpoint


def kill_at_random(scene: Scene, rng: random.Random, times: int, most_s: float = 6.0) -> None:
    """SIGKILL to any worker at any moment, its start included; it is started again at once."""
    for number in range(times):
        time.sleep(rng.uniform(0.2, most_s))
        scene.crew.check()
        slot = scene.crew.any_slot(rng)
        scene.note("kills at random", f"slot {slot} killed")
        scene.crew.kill(slot)
        scene.crew.start(slot)
        if number % 5 == 4:
            scene.recover()
    scene.recover()


def scale(scene: Scene, more: Sequence[int]) -> None:
    """The slots `more` join and leave again. A static member's place is given away after its session only."""
    scene.note("rebalances", f"slots {list(more)} join")
    before = scene.crew.count(crew.ASSIGNED)
    for slot in more:
        scene.crew.start(slot)
    scene.wait(lambda: scene.crew.count(crew.ASSIGNED) > before, 60, "a new worker gets partitions")
    time.sleep(2)
    scene.recover()
    scene.note("rebalances", f"slots {list(more)} leave")
    scene.crew.stop(*more)
    scene.recover()


def rebalance_during_restore(scene: Scene, slots: Sequence[int], rng: random.Random) -> None:
    """All are killed and come back one shortly after the other: who is first restores when the next joins."""
    scene.note("rebalances during restore", f"slots {list(slots)} killed, then joining one by one")
    for slot in slots:
        scene.crew.kill(slot)
    scene.report.injected["kills together"] += len(slots)
    time.sleep(SESSION_S)
    for slot in slots:
        scene.crew.start(slot)
        time.sleep(rng.uniform(0, 0.5))
    scene.recover()


def _await_state(scene: Scene, slot: int) -> None:
    """It has partitions, and their state."""
    member = scene.crew.members[slot]
    scene.wait(lambda: crew.RESTORED in member.text(), 60, f"slot {slot} gets partitions")


def freeze_and_thaw(scene: Scene, slot: int) -> None:
    """SIGSTOP until the others have its partitions, then SIGCONT: a zombie that must be fenced."""
    _await_state(scene, slot)
    scene.note("zombies", f"slot {slot} stopped past its session")
    before = scene.crew.count(crew.ASSIGNED)
    scene.crew.freeze(slot)
    scene.wait(lambda: scene.crew.count(crew.ASSIGNED) > before, 60, "others take over")
    scene.recover("others go on without the zombie")
    scene.note("zombies thawed", f"slot {slot} continued")
    scene.crew.thaw(slot)
    time.sleep(SESSION_S / 2)
    scene.recover()


def freeze_and_replace(scene: Scene, slot: int) -> None:
    """SIGSTOP; a new process takes the same name; SIGCONT: two of one name, the older must end."""
    _await_state(scene, slot)
    scene.note("zombies", f"slot {slot} stopped, another started under its name")
    scene.crew.freeze(slot)
    old = scene.crew.detach(slot)
    scene.crew.start(slot)
    scene.recover("the new one of that name")
    scene.note("zombies thawed", f"the older process of slot {slot} continued")
    old.process.send_signal(signal.SIGCONT)
    scene.wait(lambda: old.process.poll() is not None, 60, f"the older one ends\n{old.tail()}")
    scene.recover()


def roll(scene: Scene, slots: Sequence[int]) -> None:
    """Each in turn: SIGTERM, ends with 0 within 10 s, starts again."""
    for slot in slots:
        scene.note("rolling restarts", f"slot {slot} restarted by SIGTERM")
        scene.crew.stop(slot)
        scene.crew.start(slot)
        scene.recover()


def kill_broker(scene: Scene, cluster: Brokers, number: int, away_s: float = 2.0) -> None:
    """SIGKILL to a broker; it comes back `away_s` seconds later."""
    scene.note("broker kills", f"broker {number} of {cluster.count} killed")
    cluster.kill(number)
    time.sleep(away_s)
    cluster.start()
    scene.recover()


def strike(scene: Scene, proxy: Proxy, request: Request, fault: Fault, seconds: float = 0.0) -> None:
    """The next such request of a worker meets this fault on the wire."""
    proxy.arm(request, fault, seconds)
    scene.wait(proxy.struck.is_set, 60, f"a {request.name} comes by")
    scene.note("proxy faults", f"{fault.value} at {request.name}")
    scene.report.injected[f"proxy: {fault.value}"] += 1
    scene.recover()


def restart_with_late_offsets(scene: Scene, proxy: Proxy, slot: int, seconds: float = 2.0) -> None:
    """SIGKILL; when it is back, its first question about offsets is answered after its state is restored."""
    scene.note("proxy faults", f"slot {slot} killed; then an answer about offsets comes late")
    scene.crew.kill(slot)
    proxy.arm(Request.LIST_OFFSETS, Fault.DELAY, seconds)
    scene.crew.start(slot)
    scene.wait(proxy.struck.is_set, 60, "offsets are asked for")
    scene.recover()
    time.sleep(seconds)
    scene.recover()
