"""Workers as processes, each in a slot with a static instance id; what can be done to them; and a supervisor
that starts them again, as systemd or Kubernetes does."""

from __future__ import annotations

import os
import random
import re
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.broker.server import free_ports
from tests.chaos.process import STACKS, Process
from tests.support import armed

KAFKA, GAP = 3, 7  # exit codes: Kafka gave up on it, or it on Kafka; input or state is gone
SIGTERM_S = 10.0
DEATH_S = 90.0
TAIL_LINES = 80
STACKS_S = 0.5
PROBE_EVERY_S, PROBE_TIMEOUT_S, PROBES = 1.0, 1.0, 3
"""As a kubelet: a worker whose /healthz fails so often in a row is killed."""
ASSIGNED, REVOKED, LOST = "assigned: partitions", "revoked: partitions", "lost: partitions"
EPOCH_LOST, STARTED, RESTORED = "an epoch is lost", "joining group", "restored: partition"
EXIT_LINE = re.compile(r"^vitalstream: .+$", re.MULTILINE)
SYSTEM_EXIT = re.compile(r"^.* ERROR stream.worker.pipeline: .*SystemExit.*$", re.MULTILINE)
TELLTALES = ("Traceback", armed.CANARY, "sim-0")
"""What no log may have: a traceback, what a failpoint raised, a patient id of the synthetic ward."""


def environment_with(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, with these settings of vitalstream and no others."""
    return {n: v for n, v in os.environ.items() if not n.startswith("VITALSTREAM_")} | dict(settings)


@dataclass
class Member:
    """A worker's process and what it writes. failpoint: what it is armed with. expected: it may end."""

    slot: str
    process: Process
    log: Path
    port: int
    failpoint: str = ""
    frozen: bool = False
    expected: bool = False
    started: float = field(default_factory=time.monotonic)
    served: bool = False
    unhealthy: list[str] = field(default_factory=list)

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        lines = "\n".join(self.text().splitlines()[-TAIL_LINES:])
        return f"--- {self.log.name} ({self.failpoint or 'not armed'}, exit {self.process.poll()})\n{lines}"

    def sprung(self) -> bool:
        """Whether a failpoint did what it was armed for."""
        return bool(self.failpoint) and f"{armed.REACHED} {self.failpoint.partition(':')[0]}:" in self.text()

    def causes(self) -> list[str]:
        """The lines that say why it ended. `SystemExit` is no error, and shows in the log alone, if nothing
        ended the worker before it."""
        lines = EXIT_LINE.findall(self.text())
        return lines or SYSTEM_EXIT.findall(self.text()) if self.failpoint.endswith("SystemExit") else lines

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=PROBE_TIMEOUT_S):
                return True
        except OSError:
            return False

    def probe(self) -> None:
        """Ask /healthz. One that does not serve yet, or no more, is not asked about its health."""
        try:
            url = f"http://127.0.0.1:{self.port}/healthz"
            with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S):
                self.served, self.unhealthy = True, []
        except urllib.error.HTTPError as error:
            with error:
                self.unhealthy.append(error.read().decode().strip())
        except OSError as error:
            if self.served:
                self.unhealthy.append(f"no answer ({type(error).__name__})")


@dataclass
class Crew:
    """environment: of every worker. folder: takes one log a process. Slots are numbers.

    supervised: who ends by itself with a code of `tolerated`, or because its failpoint did what it was armed
    for, is started again, and so is who is killed because its /healthz fails. ended: how they ended.
    complaints: what was wrong with the words in which they did."""

    environment: Mapping[str, str]
    folder: Path
    members: dict[int, Member] = field(default_factory=dict)
    past: list[Member] = field(default_factory=list)
    supervised: bool = False
    respawned: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    tolerated: set[int] = field(default_factory=lambda: {KAFKA})
    probed: float = 0.0

    def start(
        self, slot: int, failpoint: str = "", arguments: Iterable[str] = (), *, static: bool = True
    ) -> Member:
        """A worker in `slot`, whose last one has ended. static: it keeps its partitions if it comes back in
        time; else the group rebalances when it goes and when it comes."""
        if slot in self.members:
            self._retire(slot)
        name = f"slot-{slot}"
        log = self.folder / f"{len(self.past) + len(self.members):03}-{name}.log"
        environment = environment_with(self.environment)
        port = free_ports(1)
        if static:
            environment["VITALSTREAM_INSTANCE_ID"] = name
        environment["VITALSTREAM_LOG_FORMAT"] = "text"
        environment["VITALSTREAM_METRICS_HOST"] = "127.0.0.1"
        environment["VITALSTREAM_METRICS_PORT"] = str(port)
        environment["VITALSTREAM_STANDBY_REPLICAS"] = "all" if slot % 2 else "none"
        process = Process(log, environment, failpoint, list(arguments))
        self.members[slot] = Member(name, process, log, port, failpoint)
        return self.members[slot]

    def kill(self, slot: int) -> None:
        """SIGKILL, at once."""
        member = self.members[slot]
        member.expected = True
        member.process.send_signal(signal.SIGKILL)
        member.process.wait()

    def has_died(self, slot: int, failpoint: str) -> bool:
        """Whether the failpoint that it was started with has killed it. It must, by SIGKILL and in time."""
        member = self.members[slot]
        member.expected = True
        code = member.process.poll()
        if code is None:
            in_time = time.monotonic() - member.started < DEATH_S
            assert in_time, f"{failpoint} was not reached in {DEATH_S:g} s\n{member.tail()}"
            return False
        assert code == -signal.SIGKILL, f"it ended with {code}, not at {failpoint}\n{member.tail()}"
        return True

    def stop(self, *slots: int, grace: float = SIGTERM_S, codes: Container[int] = (0,)) -> float:
        """SIGTERM: each ends with one of `codes` within `grace` seconds. The longest that one took, seconds.
        Who is still starting may start first."""
        for slot in slots:
            self._await_start(self.members[slot])
        begun = time.monotonic()
        for slot in slots:
            self.members[slot].expected = True
            self.members[slot].process.send_signal(signal.SIGTERM)
        for slot in slots:
            member = self.members[slot]
            code = member.process.wait(max(begun + grace - time.monotonic(), 0))
            assert code is not None, f"SIGTERM: it runs after {grace:g} s\n{member.tail()}"
            assert code in codes, f"SIGTERM: it ended with {code}\n{member.tail()}"
        taken = time.monotonic() - begun
        for slot in slots:
            self._retire(slot)
        return taken

    def freeze(self, slot: int) -> None:
        self.members[slot].process.send_signal(signal.SIGSTOP)
        self.members[slot].frozen = True

    def thaw(self, slot: int) -> None:
        self.members[slot].process.send_signal(signal.SIGCONT)
        self.members[slot].frozen = False

    def detach(self, slot: int) -> Member:
        """Its place is taken by another process with the same name; this one goes on outside of the crew."""
        member = self.members.pop(slot)
        member.expected = True
        self.past.append(member)
        return member

    def running(self) -> list[int]:
        return [slot for slot, member in self.members.items() if member.process.poll() is None]

    def check(self) -> None:
        """Nobody ended who was not made to; if supervised, who may is started again."""
        for slot, member in list(self.members.items()):
            if not member.expected and member.process.poll() is not None:
                self.inspect(member)
                self.respawned += 1
                self.start(slot)
        if self.supervised:
            self.check_health()

    def check_health(self) -> None:
        """Kill whose /healthz fails; asks every `PROBE_EVERY_S` seconds, however often it is called."""
        if time.monotonic() - self.probed > PROBE_EVERY_S:
            self.probed = time.monotonic()
            for member in self.members.values():
                self._keep_healthy(member)

    def inspect(self, member: Member) -> str:
        """How it ended by itself, in words. It had a right to, and said in one line why, without an id."""
        code = member.process.poll()
        killed = code == -signal.SIGKILL and len(member.unhealthy) >= PROBES
        may = self.supervised and (code in self.tolerated or killed or (member.sprung() and (code or 0) > 0))
        assert may, f"it ended by itself with {code}\n{member.tail()}"
        how = "killed: /healthz failed" if killed else f"exit code {code}"
        self.ended[how] += 1
        if not killed and len(lines := member.causes()) != 1:
            self.complain(member, f"{how}: why? {lines}")
        return how

    def complain(self, member: Member, what: str) -> None:
        self.complaints.append(f"{member.log.name} ({member.failpoint or 'not armed'}): {what}")

    def count(self, phrase: str) -> int:
        """How often the workers' logs have it."""
        return sum(member.text().count(phrase) for member in [*self.past, *self.members.values()])

    def tails(self) -> str:
        """The ends of the logs, with where the threads of those are that run."""
        members = [*self.past[-3:], *self.members.values()]
        for member in members:
            member.process.send_signal(STACKS)
        time.sleep(STACKS_S)
        return "\n".join(member.tail() for member in members)

    def close(self) -> None:
        for member in [*self.past, *self.members.values()]:
            member.process.send_signal(signal.SIGKILL)
            member.process.wait()

    def any_slot(self, rng: random.Random) -> int:
        return rng.choice(self.running())

    def _keep_healthy(self, member: Member) -> None:
        if member.frozen or member.process.poll() is not None:
            return
        member.probe()
        if len(member.unhealthy) == PROBES:
            member.process.send_signal(signal.SIGKILL)
            member.process.wait()

    def _await_start(self, member: Member) -> None:
        while STARTED not in member.text() and member.process.poll() is None:
            assert time.monotonic() - member.started < DEATH_S, f"it does not start\n{member.tail()}"
            time.sleep(0.1)

    def _retire(self, slot: int) -> None:
        member = self.members.pop(slot)
        assert member.process.poll() is not None, f"slot {slot} is taken"
        if told := [telltale for telltale in TELLTALES if telltale in member.text()]:
            self.complain(member, f"its log has {told}")
        self.past.append(member)
