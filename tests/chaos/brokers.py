"""Kafka of a test's own, whose brokers may be killed; where wanted, workers reach it through a proxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broker.server import LOCAL, free_ports

PROXIED = """\
listeners=PLAINTEXT://{{broker}},CONTROLLER://{{controller}},PROXIED://127.0.0.1:{listens}
advertised.listeners=PLAINTEXT://{{broker}},PROXIED://127.0.0.1:{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
"""
"""Of a properties file the later lines win: a second listener, which tells clients a proxy's address."""

RUN = """\
import sys
__file__, more = sys.argv.pop(1), sys.argv.pop(1)
source = open(__file__).read().replace("num.partitions=4\\n", "num.partitions=4\\n" + more)
exec(compile(source, __file__, "exec"))
"""
"""Runs deploy/kafka/local with more lines in each broker's properties."""


class Brokers:
    """A cluster of deploy/kafka/local in `folder`. servers: host:port list. more: lines of properties."""

    def __init__(self, folder: Path, count: int, more: str) -> None:
        self.folder, self.count, self._more = folder, count, more
        port = free_ports(2 * count)
        self._shape = ("--brokers", str(count), "--port", str(port))
        self.servers = ",".join(f"127.0.0.1:{port + step}" for step in range(count))

    def start(self) -> None:
        """Bring up who is down; returns when all serve."""
        self._run("start", *self._shape)

    def kill(self, number: int) -> None:
        """SIGKILL to broker `number`, from 1; returns when it is gone."""
        pid = int((self.folder / f"node-{number}" / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        arguments = Path(f"/proc/{pid}/cmdline")
        while arguments.exists() and arguments.read_bytes():  # empty: gone, but not yet reaped
            time.sleep(0.05)

    def wipe(self) -> None:
        self._run("wipe")

    def _run(self, *arguments: str) -> None:
        command = [sys.executable, "-c", RUN, LOCAL, self._more, *arguments, "--data", self.folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"deploy/kafka/local {arguments}: {done.stderr}{done.stdout}"


@contextmanager
def brokers(
    folder: Path, count: int = 1, proxied: tuple[int, int] | None = None, more: str = ""
) -> Iterator[Brokers]:
    """proxied: the port of a second listener, and the one that it tells clients; more: properties."""
    more += "" if proxied is None else PROXIED.format(listens=proxied[0], advertised=proxied[1])
    own = Brokers(folder, count, more)
    try:
        own.start()
        yield own
    finally:
        own.wipe()
