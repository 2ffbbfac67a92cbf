"""Topics that are deleted and made again under the workers: either the workers end with an exit code that
says so, or they go on, and every event that still exists is accounted for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping

from tests.chaos import reading
from tests.chaos.brokers import Brokers
from tests.chaos.crew import GAP
from tests.chaos.reading import Row
from tests.chaos.scene import POLL_S, RECOVERY_S, Scene
from tests.chaos.verify import ERROR, Place

SLOTS = (0, 1)
RATE, PATIENTS, SEED = 200.0, 100, 24
AWAY_S = 2.0
STUBBORN = 3
"""Times that a worker ends with exit code 3 before it is left to the operator."""
CAUGHT_UP = "went on"
OUTPUTS = ("scores", "letters")


def begin(scene: Scene) -> None:
    """Workers that have scored what there is, and that a supervisor starts again."""
    scene.crew.tolerated.add(GAP)
    with scene.feeding(RATE, PATIENTS, SEED):
        for slot in SLOTS:
            scene.crew.start(slot)
        time.sleep(AWAY_S)


def remake_output(scene: Scene, which: str) -> None:
    """The scores or the dead letters, while events flow."""
    topic = getattr(scene.topics, which)
    with scene.feeding(RATE, PATIENTS, SEED + 1):
        scene.delete(topic)
        time.sleep(AWAY_S)
        since = scene.committed()
        scene.make(topic)
        time.sleep(AWAY_S)
        _settle(scene, f"{which} made again")
    _end(scene, _account(scene, since))


def remake_input(scene: Scene) -> None:
    """Another log, of which the group has offsets and the changelog has states."""
    scene.delete(scene.topics.observations)
    time.sleep(AWAY_S)
    scene.make(scene.topics.observations)
    with scene.feeding(RATE, PATIENTS, SEED + 1, judged=False):
        time.sleep(2 * AWAY_S)
    _settle(scene, "observations made again")
    _end(scene, _account(scene, {}))


def remake_changelog(scene: Scene) -> None:
    """What is written to the new one is not all: who restores from it must not go on silently."""
    with scene.feeding(RATE, PATIENTS, SEED + 1, judged=False):
        scene.delete(scene.topics.changelog)
        time.sleep(AWAY_S)
        scene.make(scene.topics.changelog)
        time.sleep(2 * AWAY_S)
    if _outcome(scene) == CAUGHT_UP:
        for slot in SLOTS:
            scene.crew.kill(slot)
            scene.crew.start(slot)
    with scene.feeding(RATE, PATIENTS, SEED + 2, judged=False):
        time.sleep(AWAY_S)
    if _settle(scene, "changelog made again") == CAUGHT_UP:
        scene.finish()
    else:
        _end(scene, _account(scene, {}))


def wipe(scene: Scene, cluster: Brokers) -> None:
    """Everything is gone, and there are new topics of the same names."""
    cluster.wipe()
    cluster.start()
    scene.make_all()
    with scene.feeding(RATE, PATIENTS, SEED + 1, judged=False):
        time.sleep(AWAY_S)
    _settle(scene, "broker wiped")
    _end(scene, _account(scene, {}))


def _settle(scene: Scene, what: str) -> str:
    """What became of the workers. Those that ended go on when an operator has said so."""
    outcome = _outcome(scene)
    scene.note("topics made again", f"{what}: {outcome}")
    scene.report.outcomes[what, "change"] = outcome
    if outcome != CAUGHT_UP:
        for slot in SLOTS:
            if slot not in scene.crew.running():
                scene.crew.start(slot, arguments=["--on-gap", "skip"])
        afterwards = _outcome(scene)
        assert afterwards == CAUGHT_UP, f"--on-gap skip: {afterwards}\n{scene.crew.tails()}"
    return outcome


def _outcome(scene: Scene) -> str:
    """Wait until all that is in the input topic is committed, or until every worker has ended for good."""
    ended: Counter[int] = Counter()
    begun, ends = time.monotonic(), scene.ends()
    while any(scene.committed().get(one, 0) < end for one, end in ends.items()):
        for slot in SLOTS:
            _supervise(scene, slot, ended)
        members = [scene.crew.members[slot] for slot in SLOTS]
        if all(member.expected and member.process.poll() is not None for member in members):
            codes = sorted({str(member.process.poll()) for member in members})
            return f"exit code {' and '.join(codes)}"
        scene.crew.check_health()
        waited = f"neither caught up nor ended: {scene.committed()} of {ends}"
        assert time.monotonic() - begun < RECOVERY_S, f"{waited}\n{scene.crew.tails()}"
        time.sleep(POLL_S)
    return CAUGHT_UP


def _supervise(scene: Scene, slot: int, ended: Counter[int]) -> None:
    """A worker that ended is started again, unless it says that an operator has to look."""
    member = scene.crew.members[slot]
    code = member.process.poll()
    if code is None or member.expected:
        return
    scene.crew.inspect(member)
    ended[slot] += 1
    if code == GAP or ended[slot] == STUBBORN:
        member.expected = True
    else:
        scene.crew.start(slot)


def _end(scene: Scene, complaints: list[str]) -> None:
    scene.crew.stop(*scene.crew.running())
    scene.count_turmoil()
    complaints = [*scene.crew.complaints, *complaints]
    assert not complaints, "\n".join([*complaints, f"logs: {scene.folder}", scene.crew.tails()])


def _account(scene: Scene, since: Mapping[int, int]) -> list[str]:
    """Complaints about the events of the input topic from `since` on: each is scored or refused, and with
    exactly_once once. An event is known by its place, key and time, so that one of another log is another."""
    read = reading.OTHER[scene.client]
    reading.settle(scene.servers, [scene.topics.scores, scene.topics.letters])
    written = _written(scene)
    counts = {"events": 0, "lost": 0, "double": 0}
    shown: list[Place] = []
    for row in read(scene.servers, scene.topics.observations):
        if row.offset < since.get(row.partition, 0):
            continue
        place, event = (row.partition, row.offset), _event(row)
        times = written[place, row.key, row.value] + written[place, row.key, event.get("observed_at")]
        lost = times == 0 and event.get("type") != "discharge"
        double = times > 1 and scene.guarantee == "exactly_once"
        shown += [place] * (lost or double)
        for name, counted in zip(counts, (True, lost, double), strict=True):
            counts[name] += counted
    scene.report.found |= counts
    return [f"{counts}, such as {shown[:8]}"] if shown else []


def _written(scene: Scene) -> Counter[tuple[Place, bytes | None, object]]:
    """How often each event was scored or refused: by place, key, and time or value."""
    read, written = reading.OTHER[scene.client], Counter[tuple[Place, bytes | None, object]]()
    for row in read(scene.servers, scene.topics.scores):
        value = json.loads(row.value or b"")
        place = value["source"]["partition"], value["source"]["offset"]
        written[place, row.key, value["observed_at"]] += 1
    for row in read(scene.servers, scene.topics.letters):
        place = int(row.headers[ERROR + "partition"]), int(row.headers[ERROR + "offset"])
        written[place, row.key, row.value] += 1
    return written


def _event(row: Row) -> dict[str, object]:
    """Empty if it is none."""
    try:
        event = json.loads(row.value or b"")
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
