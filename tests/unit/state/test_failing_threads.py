"""Whatever a call of a background thread raises: a restorer ends with it, a standby begins again."""

from __future__ import annotations

import logging
import threading

import pytest

from stream.background import STANDBY, Threads
from stream.errors import BrokerUnavailable, ThreadError
from stream.state.replica import Replica
from stream.state.restore import Restored, Restorer, Rules
from stream.state.standby import Standby
from tests.support.failing import KINDS, PATIENT, Fuse
from tests.unit.state.cluster import CHANGELOG, PATIENCE_S, Cluster, MemoryReader, wait

RULES = Rules("in", exactly_once=True, skip_gaps=False, patience=PATIENCE_S)
RESTORE_CALLS = 16
STANDBY_CALLS = 12


def cluster() -> Cluster:
    made = Cluster(offsets={0: 20})
    made.epoch(10, b"a", b"bb")
    made.epoch(20, b"ccc")
    return made


def restorer(fuse: Fuse, made: Cluster) -> Restorer:
    standby = Standby(lambda: MemoryReader(made), CHANGELOG.topic, Threads())
    return Restorer(fuse.maker(lambda: MemoryReader(made)), CHANGELOG, RULES, standby)


def test_restoring_makes_at_least_so_many_calls() -> None:
    fuse, found = Fuse(RuntimeError, 0), list[Restored]()
    restoring = restorer(fuse, cluster())
    restoring.request([0])
    wait(lambda: found.extend(restoring.restored()) or bool(found))
    wait(lambda: fuse.calls >= RESTORE_CALLS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(1, RESTORE_CALLS + 1))
def test_a_restorer_that_failed_says_so_and_takes_no_more_requests(
    at: int, kind: type[BaseException]
) -> None:
    fuse = Fuse(kind, at)
    restoring = restorer(fuse, cluster())
    restoring.request([0, 1])
    wait(lambda: fuse.blown)
    with pytest.raises(ThreadError) as raised:
        wait(lambda: bool(restoring.restored()) and False)
    cause = f"{kind.__name__} at tests/support/failing.py"
    assert str(raised.value).startswith(f"the restore thread failed: {cause}")
    assert PATIENT not in str(raised.value)
    for again in (lambda: restoring.request([1]), restoring.restored):
        with pytest.raises(ThreadError):
            again()
    restoring.close()


def test_a_restorer_whose_thread_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    restoring = restorer(Fuse(RuntimeError, 0), cluster())
    restoring.request([0])
    with pytest.raises(ThreadError, match="the restore thread failed: RuntimeError at"):
        restoring.restored()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(1, STANDBY_CALLS + 1))
def test_a_standby_that_failed_follows_again(
    at: int, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.background.FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr("stream.state.standby.LOOK_EVERY_S", 0.02)
    counted: list[str] = []
    fuse, made, threads = Fuse(kind, at), cluster(), Threads(counted.append)
    standby = Standby(fuse.maker(lambda: MemoryReader(made)), CHANGELOG.topic, threads)
    with caplog.at_level(logging.WARNING):
        standby.open()
        standby.own([1])
        wait(lambda: STANDBY in threads.down)
        assert threads.down[STANDBY].startswith(f"{kind.__name__} at tests/support/failing.py")
        assert standby.take([1]) == {}
        wait(lambda: not threads.down)
    assert counted == [STANDBY]
    (logged,) = caplog.messages
    assert logged.startswith(f"the standby thread failed: {kind.__name__} at tests/support/failing.py")
    assert logged.endswith("; it starts again in 0.05 s")
    assert PATIENT not in logged
    wait(lambda: made.readers[-1].read_all() and made.assigned[-1] == {0: 0})
    taken: dict[int, Replica] = {}
    standby.own([0])
    wait(lambda: taken.update(standby.take([0])) or bool(taken))
    assert set(taken[0].latest) == {b"a", b"bb", b"ccc", b"\xffpartition"}
    standby.close()


def test_restoring_that_reads_nothing_more_is_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster()
    monkeypatch.setattr(MemoryReader, "ended", lambda self: set())
    restoring = restorer(Fuse(RuntimeError, 0), made)
    assert restoring.stalled == 0
    restoring.request([0])
    wait(lambda: restoring.stalled > 0.2)
    made.epoch(30, b"a", b"bb", b"ccc")
    wait(lambda: restoring.stalled < 0.1)
    wait(lambda: restoring.stalled > 0.2)
    assert (restoring.pending, restoring.waits_for) == ([0], "")
    restoring.forget([0])
    assert restoring.stalled == 0
    restoring.close()


def test_restoring_that_waits_for_a_transaction_is_not_stalled() -> None:
    made = cluster()
    made.offsets[0] = 30
    restoring = restorer(Fuse(RuntimeError, 0), made)
    restoring.request([0])
    wait(lambda: restoring.waits_for == "the changelog to agree with what the group has committed")
    assert restoring.stalled < 0.2
    made.epoch(30, b"a")
    wait(lambda: bool(restoring.restored()))
    restoring.close()


def test_restoring_that_finds_no_broker_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll of librdkafka does not say that there is no broker: so it is asked for."""
    monkeypatch.setattr("stream.state.restore.ASK_BROKER_S", 0.1)
    away = threading.Event()

    class Away(MemoryReader):
        def ended(self) -> set[int]:
            return set()

        def partition_count(self, topic: str) -> int:
            if away.is_set():
                raise BrokerUnavailable("asking about states: timed out")
            return super().partition_count(topic)

    made = cluster()
    standby = Standby(lambda: MemoryReader(made), CHANGELOG.topic, Threads())
    restoring = Restorer(lambda: Away(made), CHANGELOG, RULES, standby)
    restoring.request([0])
    wait(lambda: restoring.stalled > 0.2)
    away.set()
    wait(lambda: restoring.waits_for == "the broker: asking about states: timed out")
    assert restoring.stalled == 0
    away.clear()
    wait(lambda: restoring.waits_for == "")
    restoring.close()
