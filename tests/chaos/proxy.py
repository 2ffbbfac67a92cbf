"""A TCP proxy that understands Kafka's framing: it can cut, delay or freeze at a chosen request.

client ──request──▶ pump ──▶ broker        a fault is armed for one kind of request, and strikes once:
       ◀─response── pump ◀──
    BEFORE   the connection is cut, the request not forwarded
    AFTER    the request is forwarded, its response lost: the connection is cut
    DELAY    the request waits `seconds`
    SILENCE  the request is forwarded; from then on nothing comes back, the connection stays open
    BLACKOUT every connection is cut, and new ones are refused for `seconds`
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from enum import Enum
from typing import Self

HEAD = struct.Struct(">ihh")
CHUNK = 65_536
CONNECT_S = 5.0


class Request(Enum):
    """Kafka's api keys, of requests around a commit and an assignment."""

    PRODUCE = 0
    LIST_OFFSETS = 2
    HEARTBEAT = 12
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS = 24
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Fault(Enum):
    BEFORE = "cut before the request"
    AFTER = "cut before the response"
    DELAY = "request delayed"
    SILENCE = "half-open: no response, connection stays"
    BLACKOUT = "all connections cut, none accepted"


class Proxy:
    """Listens at `port` of the loopback, forwards to `target` there. One thread a direction."""

    def __init__(self, port: int, target: int) -> None:
        self.struck = threading.Event()
        self.servers = f"127.0.0.1:{port}"
        self._target = target
        self._armed: tuple[Request, Fault, float] | None = None
        self._dark_until = 0.0
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        _shut(self._listener)
        self.cut()

    def arm(self, request: Request, fault: Fault, seconds: float = 0.0) -> None:
        """The next such request meets this fault; then `struck` is set."""
        self.struck.clear()
        self._armed = request, fault, seconds

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.cut()

    def strikes(self, api_key: int) -> tuple[Fault, float] | None:
        """The fault that is armed for this request; it is armed no more."""
        with self._lock:
            if self._armed is None or self._armed[0].value != api_key:
                return None
            (_, fault, seconds), self._armed = self._armed, None
        if fault is Fault.BLACKOUT:
            self._dark_until = time.monotonic() + seconds
            self.cut()
        self.struck.set()
        return fault, seconds

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if time.monotonic() < self._dark_until:
                    raise OSError("dark")
                broker = socket.create_connection(("127.0.0.1", self._target), CONNECT_S)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            pair = _Pair(self, client, broker)
            with self._lock:
                self._pairs.append(pair)
            pair.start()


class _Pair:
    """One client's connection and its continuation to the broker."""

    def __init__(self, proxy: Proxy, client: socket.socket, broker: socket.socket) -> None:
        self._proxy, self._client, self._broker = proxy, client, broker
        self._silent = False

    def start(self) -> None:
        for pump in (self._requests, self._responses):
            threading.Thread(target=self._run, args=(pump,), daemon=True).start()

    def cut(self) -> None:
        _shut(self._client)
        _shut(self._broker)

    def _run(self, pump: object) -> None:
        with suppress(OSError, EOFError):
            pump()  # type: ignore[operator]
        self.cut()

    def _requests(self) -> None:
        while True:
            head = _exactly(self._client, HEAD.size)
            size, api_key, _ = HEAD.unpack(head)
            frame = head + _exactly(self._client, size - HEAD.size + 4)
            struck = self._proxy.strikes(api_key)
            if struck is not None:
                self._strike(*struck)
            self._broker.sendall(frame)

    def _strike(self, fault: Fault, seconds: float) -> None:
        """Returns where the request is to be forwarded."""
        if fault in (Fault.BEFORE, Fault.BLACKOUT):
            raise EOFError
        if fault is Fault.DELAY:
            time.sleep(seconds)
        if fault in (Fault.AFTER, Fault.SILENCE):
            self._silent = True
            self._after = fault

    def _responses(self) -> None:
        while data := self._broker.recv(CHUNK):
            if not self._silent:
                self._client.sendall(data)
            elif self._after is Fault.AFTER:
                return


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
