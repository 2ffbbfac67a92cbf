"""`--until-idle` ends once the group has scored the whole topic, whoever holds its partitions meanwhile."""

from __future__ import annotations

import time

from stream.synthetic.simulator import Ward
from tests.flow.conftest import MakeFlow
from tests.flow.flow import PATIENCE_S, Flow, places

SESSION = {"VITALSTREAM_CLIENT_OVERRIDES": "session.timeout.ms=6000"}


def send(flow: Flow, begin: int, end: int) -> int:
    now = int(time.time() * 1000)
    events = Ward(12, seed=begin, start_ms=now - end * 60_000, interval=60).tick(now - begin * 60_000 - 1)
    flow.send(events)
    return len(events)


def test_it_waits_for_the_partitions_that_a_killed_member_holds(make_flow: MakeFlow) -> None:
    flow = make_flow()
    sent = send(flow, 20, 30)
    killed = flow.start("--instance-id", "killed", **SESSION)
    try:
        until = time.monotonic() + PATIENCE_S
        while len(flow.scored()) < sent:
            assert time.monotonic() < until, "the first worker scores nothing"
    finally:
        killed.kill()
        killed.communicate()
    sent += send(flow, 0, 20)
    second = flow.start("--until-idle", "1", **SESSION)
    out, err = second.communicate(timeout=2 * PATIENCE_S)
    assert second.returncode == 0, err
    found = places(flow.scored())
    assert len(found) == len(set(found)) == sent, (out, err)
