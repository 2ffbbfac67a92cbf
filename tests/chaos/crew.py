"""Workers as processes, each in a slot with a static instance id, and what can be done to them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests import armed

ROOT = Path(__file__).resolve().parents[2]
KAFKA = 3  # exit code: Kafka gave up on it, or it on Kafka
SIGTERM_S = 10.0
DEATH_S = 90.0
TAIL_LINES = 40
ASSIGNED, REVOKED, LOST = "assigned: partitions", "revoked: partitions", "lost: partitions"
EPOCH_LOST, STARTED, RESTORED = "an epoch is lost", "joining group", "restored: partition"


def environment_with(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, with these settings of vitalstream and no others."""
    return {n: v for n, v in os.environ.items() if not n.startswith("VITALSTREAM_")} | dict(settings)


@dataclass
class Member:
    """A worker's process and what it writes."""

    slot: str
    process: subprocess.Popen[bytes]
    log: Path
    frozen: bool = False
    expected: bool = False
    started: float = field(default_factory=time.monotonic)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        lines = "\n".join(self.text().splitlines()[-TAIL_LINES:])
        return f"--- {self.log.name} (exit {self.process.poll()})\n{lines}"


@dataclass
class Crew:
    """environment: of every worker. folder: takes one log a process. Slots are numbers."""

    environment: Mapping[str, str]
    folder: Path
    members: dict[int, Member] = field(default_factory=dict)
    past: list[Member] = field(default_factory=list)
    supervised: bool = False
    respawned: int = 0

    def start(self, slot: int, failpoint: str = "", arguments: Iterable[str] = ()) -> Member:
        """A worker in `slot`, whose last one has ended."""
        if slot in self.members:
            self._retire(slot)
        name = f"slot-{slot}"
        log = self.folder / f"{len(self.past) + len(self.members):03}-{name}.log"
        environment = environment_with(self.environment)
        environment["VITALSTREAM_INSTANCE_ID"] = name
        environment["VITALSTREAM_STANDBY_REPLICAS"] = "all" if slot % 2 else "none"
        if failpoint:
            environment[armed.VARIABLE] = failpoint
        program = "tests.armed" if failpoint else "stream"
        command = [sys.executable, "-m", program, "run", *arguments]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
            )
        self.members[slot] = Member(name, process, log)
        return self.members[slot]

    def kill(self, slot: int) -> None:
        """SIGKILL, at once."""
        member = self.members[slot]
        member.expected = True
        member.process.kill()
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

    def stop(self, *slots: int) -> float:
        """SIGTERM: each ends with 0 within ten seconds. The longest that one took, seconds. Who is still
        starting has no handler yet, and may start first."""
        for slot in slots:
            self._await_start(self.members[slot])
        begun = time.monotonic()
        for slot in slots:
            self.members[slot].expected = True
            self.members[slot].process.terminate()
        for slot in slots:
            member = self.members[slot]
            try:
                code = member.process.wait(max(begun + SIGTERM_S - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"SIGTERM: it runs after {SIGTERM_S:g} s\n{member.tail()}") from None
            assert code == 0, f"SIGTERM: it ended with {code}\n{member.tail()}"
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
        """Nobody ended who was not made to; where supervised, who ended for want of Kafka starts again, as
        one would under systemd or Kubernetes."""
        for slot, member in list(self.members.items()):
            code = member.process.poll()
            if code is None or member.expected:
                continue
            assert self.supervised and code == KAFKA, f"it ended by itself with {code}\n{member.tail()}"
            self.respawned += 1
            self.start(slot)

    def count(self, phrase: str) -> int:
        """How often the workers' logs have it."""
        return sum(member.text().count(phrase) for member in [*self.past, *self.members.values()])

    def tails(self) -> str:
        members = [*self.past[-3:], *self.members.values()]
        return "\n".join(member.tail() for member in members)

    def close(self) -> None:
        for member in [*self.past, *self.members.values()]:
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait()

    def any_slot(self, rng: random.Random) -> int:
        return rng.choice(self.running())

    def _await_start(self, member: Member) -> None:
        while STARTED not in member.text() and member.process.poll() is None:
            assert time.monotonic() - member.started < DEATH_S, f"it does not start\n{member.tail()}"
            time.sleep(0.1)

    def _retire(self, slot: int) -> None:
        member = self.members.pop(slot)
        assert member.process.poll() is not None, f"slot {slot} is taken"
        self.past.append(member)
