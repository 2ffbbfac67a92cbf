"""Events of a few patients, a cell that is its own reference, and what must be published of each record."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.variables import INDEX
from stream.kafka.memory import Cluster, Record
from stream.kafka.topics import partition_of
from stream.stays.record import REMEMBERED
from stream.stays.walk import MS_PER_HOUR

PARTITIONS = 2
EXPIRE_H, GRACE_H = 72, 0
BEGIN_MS = int(time.time() * 1000) - 2000 * 3_600_000
HR = INDEX["HR"]


class Fold:
    """A `Cell` of one float: what is kept halves with each event, and the heart rate is added. Only the order
    and the number of a stay's events decide what it says."""

    name, target, hash, reference = "fold", "nothing", "ab" * 32, None
    alert_threshold, warm_after, state_size = 0.5, 1, 1

    def initial_state(self) -> Tensor:
        return torch.zeros(1)

    def admit(self, state: Tensor, statics: Tensor) -> Tensor:
        return state

    def scan(
        self,
        state: Tensor,
        values: Tensor,
        elapsed: Tensor,
        hours: Tensor,
        sizes: Sequence[int],
        at: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        rows, begin = [state], 0
        for size in sizes:
            rows.append(rows[-1][:size] / 2 + values[begin : begin + size, HR, None].nan_to_num(0))
            begin += size
        states = torch.cat(rows[1:])
        return states, states[:, 0] / 1024


def patients(partition: int, count: int) -> list[str]:
    """Ids whose partition is this."""
    ids = (f"p{number}" for number in range(10_000))
    return [one for one in ids if partition_of(one.encode(), PARTITIONS) == partition][:count]


PATIENTS = [(partition, one) for partition in range(PARTITIONS) for one in patients(partition, 3)]


@dataclass
class Expected:
    """What is published of a record: a score (risk, count), a dead letter (code), or nothing."""

    risk: float | None = None
    events: int = 0
    code: str | None = None


@dataclass
class Stay:
    value: float = 0.0
    events: int = 0
    admitted: bool = False
    closed: bool = False
    begun_ms: int = 0
    closed_ms: int = 0
    expires_ms: float = 0
    recent: tuple[str, ...] = ()


@dataclass
class Ward:
    """Produces events, and says at once what must become of each."""

    cluster: Cluster
    expected: dict[tuple[int, int], Expected] = field(default_factory=dict)
    stays: dict[tuple[int, str], Stay] = field(default_factory=dict)
    now: list[int] = field(default_factory=lambda: [BEGIN_MS] * PARTITIONS)
    sent: int = 0

    def observe(self, place: int, rate: int, minutes: int, *, again: bool = False) -> None:
        """An observation of patient `place`; `again`: one that repeats the oldest event remembered."""
        partition, patient = PATIENTS[place]
        self.now[partition] += minutes * 60_000
        stay = self._stay(partition, patient)
        again = again and bool(stay.recent) and not self._over(partition, stay)
        name = stay.recent[0] if again else self._name()
        offset = self._send(place, name, values={"HR": rate})
        if again:
            self.expected[partition, offset] = Expected(code="duplicate")
            return
        self._score(partition, patient, offset, rate, name)

    def admit(self, place: int) -> None:
        partition, patient = PATIENTS[place]
        stay = self._stay(partition, patient)
        name = self._name()
        offset = self._send(place, name, type="admission", static={})
        if self._over(partition, stay):
            stay = self._begin(partition, patient)
        elif (stay.admitted or stay.closed) and self._later(partition, stay):
            self.stays[partition, patient] = stay = Stay(recent=stay.recent)
        self._score(partition, patient, offset, 0, name)
        stay.admitted, stay.begun_ms = True, self.now[partition]

    def discharge(self, place: int) -> None:
        partition, patient = PATIENTS[place]
        name = self._name()
        offset = self._send(place, name, type="discharge")
        stay = self._stay(partition, patient)
        if self._over(partition, stay):
            stay = self._begin(partition, patient)
        stay.closed, stay.closed_ms = True, self.now[partition]
        stay.expires_ms = self.now[partition] + GRACE_H * MS_PER_HOUR
        self._remember(stay, name)
        self.expected[partition, offset] = Expected()

    def rubbish(self, place: int) -> None:
        partition, patient = PATIENTS[place]
        offset = self.cluster.produce(partition, patient.encode(), b"{")
        self.expected[partition, offset] = Expected(code="not_json")

    def check(self, *, exactly_once: bool, scores: str, dead_letters: str) -> None:
        """Compare what is published with what must be: all of each record below the committed offset; of the
        others nothing (exactly once), or nothing wrong (at least once)."""
        found = self._found(scores, dead_letters)
        for where, outcomes in found.items():
            assert set(outcomes) == {self._outcome(where)}, (where, outcomes, self._outcome(where))
            if exactly_once:
                assert outcomes.total() == 1, (where, outcomes)
        wanted = {where for where in self.expected if self._outcome(where) is not None}
        committed = {where for where in wanted if where[1] < self.cluster.offsets.get(where[0], 0)}
        assert committed <= found.keys(), ("lost", sorted(committed - found.keys()))
        if exactly_once:
            assert found.keys() == committed, ("not committed", sorted(found.keys() - committed))

    def _outcome(self, where: tuple[int, int]) -> Any:
        one = self.expected[where]
        if one.code:
            return "dead letter", one.code
        return None if one.risk is None else (float(f"{one.risk:.6f}"), one.events)

    def _found(self, scores: str, dead_letters: str) -> dict[tuple[int, int], Counter[Any]]:
        found: dict[tuple[int, int], Counter[Any]] = {}
        for record in self._records(scores):
            score = json.loads(record.value or b"")
            where = score["source"]["partition"], score["source"]["offset"]
            found.setdefault(where, Counter())[score["risk"], score["state"]["events"]] += 1
        for record in self._records(dead_letters):
            headers = dict(record.headers or [])
            where = record.partition, int(headers["vitalstream.error.offset"])
            code = headers["vitalstream.error.code"].decode()
            found.setdefault(where, Counter())["dead letter", code] += 1
        return found

    def _records(self, topic: str) -> list[Record]:
        return [record for log in self.cluster.logs[topic] for record in log]

    def _name(self) -> str:
        self.sent += 1
        return f"event-{self.sent}"

    def _send(self, place: int, name: str, **more: Any) -> int:
        partition, patient = PATIENTS[place]
        event = {"patient_id": patient, "observed_at": self.now[partition], "event_id": name} | more
        return self.cluster.produce(partition, patient.encode(), json.dumps(event).encode())

    def _stay(self, partition: int, patient: str) -> Stay:
        return self.stays.setdefault((partition, patient), Stay())

    def _begin(self, partition: int, patient: str) -> Stay:
        self.stays[partition, patient] = Stay()
        return self.stays[partition, patient]

    def _over(self, partition: int, stay: Stay) -> bool:
        return 0 < stay.expires_ms < self.now[partition]

    def _later(self, partition: int, stay: Stay) -> bool:
        """Whether an admission now is another than that of the stay, and after its discharge."""
        now = self.now[partition]
        return now > stay.closed_ms if stay.closed else now > stay.begun_ms

    def _remember(self, stay: Stay, name: str) -> None:
        stay.recent = (*stay.recent, name)[-REMEMBERED:]

    def _score(self, partition: int, patient: str, offset: int, rate: int, name: str) -> None:
        if self._over(partition, self._stay(partition, patient)):
            self._begin(partition, patient)
        stay = self._stay(partition, patient)
        stay.value = float(np.float32(stay.value) / np.float32(2) + np.float32(rate))
        stay.events += 1
        if not stay.closed:
            stay.expires_ms = self.now[partition] + EXPIRE_H * MS_PER_HOUR
        self._remember(stay, name)
        risk = float(np.float32(stay.value) / np.float32(1024))
        self.expected[partition, offset] = Expected(risk, stay.events)
