"""The places at which tests have a worker fail: all are known and all are reached."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stream import failpoints
from stream.columns.records import Outgoing, Records
from stream.errors import SettingsError
from stream.kafka import clients
from stream.settings import load
from stream.worker.worker import Worker
from tests.support.armed import CANARY, VARIABLE, Failpoint, armed
from tests.support.memory import MemorySink, MemorySource, Record

ROOT = Path(__file__).resolve().parents[2]
REACH = re.compile(r'\breach\("([^"]+)"\)')
WATCHED = re.compile(r'(?:watched\(\s*|partial\(_reader, )"(\w+)"')
BATCH = 2


class Tossed(MemorySource):
    """Its partition is lost and given again after the first records."""

    def poll(self, max_records: int, timeout: float) -> Records:
        if self._next and self._owned and self._listener and self._lose:
            self._lose, self._owned, self._started = False, [], False
            self._listener.on_lost([0])
        return super().poll(min(max_records, BATCH), timeout)

    def __init__(self, log: Iterator[Record], stop: threading.Event) -> None:
        super().__init__(log, stop)
        self._lose = True

    def group_metadata(self) -> None: ...


class Transactions(MemorySink):
    def commit(
        self,
        topic: str,
        offsets: Mapping[int, int],
        group: Any,
        last: Callable[[], Outgoing],
        on_committed: Callable[[], None],
    ) -> None:
        last()
        on_committed()


def run(guarantee: str, end: threading.Event) -> None:
    """A worker whose partition is lost once, with every stage in use, until `end`."""
    stop = threading.Event()
    now = int(time.time() * 1000)
    event = b'{"patient_id":"p","observed_at":%d,"values":{"HR":80}}'

    def log() -> Iterator[Record]:
        for number in range(3 * BATCH):
            yield b"p", event % (now + number)
        yield b"p", b"not an event"
        end.wait(10)

    def make_source(*_: object, **options: object) -> MemorySource:
        if "instance_id" in options:
            return Tossed(log(), stop)
        return MemorySource(iter(()), threading.Event())

    flags = {
        "metrics_port": 0,
        "device": "cpu",
        "processing_guarantee": guarantee,
        "standby_replicas": "all",
        "contributors": "all",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(clients.SOURCES, "librdkafka", make_source)
        for sinks in (clients.SINKS, clients.TRANSACTIONAL_SINKS):
            patch.setitem(sinks, "librdkafka", lambda *_, **__: Transactions(lambda _: None))
        Worker(load(flags, environment={})).run(stop)


def test_every_failpoint_is_reached() -> None:
    reached: set[str] = set()
    stands_by = threading.Event()

    def trap(name: str) -> None:
        reached.add(name)
        if name == "replica.lag":
            stands_by.set()

    failpoints.set_trap(trap)
    try:
        for guarantee in ("exactly_once", "at_least_once"):
            run(guarantee, stands_by)
    finally:
        failpoints.set_trap(None)
    assert failpoints.NAMES.keys() - reached == set()


def test_every_place_in_the_code_has_a_sentence() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "stream").rglob("*.py")]
    places = {name for text in texts for name in REACH.findall(text)}
    ports = {prefix for text in texts for prefix in WATCHED.findall(text)}
    named = failpoints.NAMES.keys() | {name.partition(".")[0] for name in failpoints.NAMES}
    assert places
    assert ports
    assert places | ports <= named
    assert all(sentence.endswith(".") for sentence in failpoints.NAMES.values())


def test_a_worker_without_a_trap_has_the_bare_ports() -> None:
    port = object()
    assert failpoints.watched("source", port) is port


def test_a_failpoint_raises_when_it_is_reached_for_the_nth_time_and_once() -> None:
    with armed("polled:2:raise,before_step:1:raise=MemoryError") as traps:
        failpoints.reach("polled")
        with pytest.raises(Failpoint, match=CANARY):
            failpoints.reach("polled")
        failpoints.reach("polled")
        with pytest.raises(MemoryError):
            failpoints.reach("before_step")
    failpoints.reach("before_step")
    assert traps.sprung == ["polled", "before_step"]


def test_a_failpoint_hangs_on_the_thread_that_reaches_it() -> None:
    with armed("polled:1:hang") as traps:
        thread = threading.Thread(target=failpoints.reach, args=("polled",))
        thread.start()
        while not traps.sprung:
            thread.join(0.01)
        failpoints.reach("polled")
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()


def test_a_failpoint_kills() -> None:
    code = "from tests.support.armed import armed, failpoints\n"
    code += "with armed('polled'): failpoints.reach('polled')"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL


@pytest.mark.parametrize("text", ["nowhere", "polled:1:explode", "polled:many"])
def test_what_cannot_be_armed_is_an_error(text: str) -> None:
    with pytest.raises(ValueError), armed(text):
        pass


def test_the_variable_alone_is_refused_and_arms_nothing() -> None:
    with pytest.raises(SettingsError, match=f"{VARIABLE}: there is no such setting"):
        load(environment={VARIABLE: "polled"})


def test_no_wheel_holds_a_trap() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["stream", "model"]}
    shipped = [path for folder in wheel["packages"] for path in (ROOT / folder).rglob("*.py")]
    setting = [path for path in shipped if re.search(r"set_trap\(|FAILPOINT", path.read_text("utf-8"))]
    assert [path.relative_to(ROOT).as_posix() for path in setting] == ["stream/failpoints.py"]
