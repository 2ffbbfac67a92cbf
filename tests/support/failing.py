"""Objects of which one call, any, raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

KINDS: list[type[BaseException]] = [MemoryError, SystemExit, RuntimeError, KafkaException]
PATIENT = "ZQ7-patient"
"""No log, body or message may hold it."""


@dataclass
class Fuse:
    """Raises `kind` in the call number `at` of everything that it watches. calls: how many there were."""

    kind: type[BaseException]
    at: int
    calls: int = 0
    where: str = ""

    @property
    def blown(self) -> bool:
        return bool(self.where)

    def burn(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.where = name
            raise self.kind(PATIENT)

    def maker(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """As `make`: the making is a call, and so is each method of what it makes."""

        def made() -> Any:
            self.burn("make")
            return Fused(make(), self)

        return made

    def function(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            self.burn(name)
            return call(*arguments, **named)

        return called


class Fused:
    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port, self._fuse = port, fuse

    def __getattr__(self, name: str) -> Any:
        return self._fuse.function(name, getattr(self._port, name))
