"""Places at which a test can have a worker die, raise or hang.

Nothing here kills, raises or hangs, and no setting or environment variable reaches it: a worker passes its
failpoints silently unless a caller in Python has set a trap before the worker was built. The traps are in the
repository's tests, which no wheel and no image holds (docs/chaos.md).

    reach("after_step")          a place of its own, in the midst of something
    watched("source", source)    the calls of a port: `source.poll` before each, `source.poll.done` after it

A worker without a trap has the bare ports: the calls that are watched cost nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Port = TypeVar("Port")
Trap = Callable[[str], None]

NAMES = {
    "source.subscribe": "The worker joins the group.",
    "source.hold": "Partitions are held until their state is restored.",
    "source.poll": "The loop asks for records.",
    "source.poll.done": "Records have come, and no stage has seen them.",
    "source.start": "A restored partition begins to be read.",
    "source.group_metadata": "A transaction is about to carry the offsets of this member.",
    "source.commit": "Offsets are about to be committed (at least once).",
    "source.commit.done": "Offsets are committed (at least once).",
    "source.lag": "The gauges ask for the consumer lag.",
    "source.close": "The worker is about to leave the group.",
    "source.close.done": "The worker has left the group.",
    "rebalance.on_assigned": "The group gives partitions.",
    "rebalance.on_assigned.done": "Partitions are taken note of, and their restoration is requested.",
    "rebalance.on_revoked": "The group takes partitions back, and nothing is committed yet.",
    "rebalance.on_revoked.done": "Revoked partitions are committed and released.",
    "rebalance.on_lost": "Partitions are another member's already.",
    "rebalance.on_lost.done": "Lost partitions are released.",
    "assigned": "Partitions are assigned, and their restoration is not requested.",
    "batch.gather": "A micro-batch is about to be gathered.",
    "batch.gather.done": "A micro-batch is gathered.",
    "polled": "A micro-batch has records.",
    "decode.decode": "Records are about to be decoded.",
    "decode.decode.done": "Records are decoded.",
    "store.admit": "Patients are about to get their slots.",
    "store.admit.done": "Patients have their slots.",
    "before_step": "Events are admitted.",
    "model.scan": "The cell is about to step, once for each stretch of a batch.",
    "explain": "Scores are about to be explained.",
    "store.write_rows": "New rows of the model are about to be kept.",
    "store.write_rows.done": "New rows are kept, and the stays are not.",
    "store.write_stays.done": "New states are kept, and nothing of them is published.",
    "after_step": "Events are stepped.",
    "drift.observe": "Scores are about to be counted for drift.",
    "drift.drift": "The gauges ask for the drift.",
    "assess.assess": "Vital signs are about to be assessed.",
    "encode.encode": "Scores are about to be written as JSON.",
    "sink.send": "Scores, dead letters or states are about to be queued.",
    "sink.send.done": "Scores, dead letters or states are queued.",
    "scores_sent": "Scores are queued.",
    "dead_letters_sent": "Dead letters are queued.",
    "commit.add": "A batch is about to be taken into the epoch.",
    "commit.add.done": "A batch is in the epoch.",
    "acknowledged": "The broker has acknowledged scores or dead letters.",
    "sink.service": "Acknowledgements are about to be served.",
    "before_changelog": "An epoch is about to end.",
    "sink.flush": "The loop is about to wait for what is not acknowledged.",
    "sink.flush.done": "All that was queued is acknowledged.",
    "sink.commit": "A transaction is about to be ended.",
    "store.take_changes": "Changed states are about to be taken for the changelog.",
    "store.take_changes.done": "Changed states are taken for the changelog.",
    "changelog.encode": "Changed states are about to be written as records.",
    "changelog_sent": "An epoch's states are queued; with at_least_once they are durable.",
    "offsets_sent": "Offsets are in the transaction, on the thread that ends it.",
    "committed": "An epoch is committed.",
    "sink.commit.done": "A transaction is being ended.",
    "store.expire": "Silent patients are about to be dropped.",
    "store.drop": "A partition's states are about to be dropped.",
    "sink.reset": "The sink is about to begin again, which fences an earlier producer.",
    "sink.reset.done": "The sink has begun again.",
    "sink.close": "The sink is about to be closed.",
    "restore.partition_count": "The restorer is about to compare partition counts.",
    "restore.assign": "The restorer is about to read the changelog.",
    "restore.poll.done": "The restorer has read records of the changelog.",
    "restore.committed": "The restorer asks for the group's committed offsets.",
    "restore.end_offsets": "The restorer asks whether the committed offset is retained.",
    "restore.handover": "A partition is restored, and the loop does not have it yet.",
    "restore.close": "The restorer's reader is about to be closed.",
    "restorer.restored": "The loop asks for restored partitions.",
    "store.install": "A restored partition is about to be installed.",
    "store.install.done": "A restored partition is installed, and is not read yet.",
    "restored": "A restored partition runs.",
    "restorer.close": "The restorer is about to end.",
    "standby.own": "Replicas are about to be set aside.",
    "standby.follow": "A partition is about to be followed.",
    "standby.take": "The restorer takes what a standby has.",
    "standby.close": "The standby is about to end.",
    "replica.assign": "The standby is about to choose what it follows.",
    "replica.poll": "The standby is about to read the changelog.",
    "replica.lag": "The standby asks how far behind it is.",
}
"""Every failpoint, with what is true when it is reached. Those with a dot belong to a watched port."""

_trap: Trap | None = None


def set_trap(trap: Trap | None) -> None:
    """Call `trap` with the name of each failpoint that is reached, on the thread that reaches it; None: no
    more. Ports are watched if there is a trap when the worker is built."""
    global _trap
    _trap = trap


def reach(name: str) -> None:
    """Spring the trap, if there is one."""
    if _trap is not None:
        _trap(name)


def watched(prefix: str, port: Port) -> Port:
    """`port`, whose methods reach `prefix.method` before each call and `prefix.method.done` after one that
    returned; `port` itself if there is no trap."""
    return port if _trap is None else cast("Port", _Watched(prefix, port))


class _Watched:
    def __init__(self, prefix: str, port: Any) -> None:
        self._prefix, self._port = prefix, port

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if not callable(member):
            return member
        place = f"{self._prefix}.{name}"

        @functools.wraps(member)
        def call(*arguments: Any, **named: Any) -> Any:
            reach(place)
            result = member(*arguments, **named)
            reach(f"{place}.done")
            return result

        return call
