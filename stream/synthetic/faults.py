"""What goes wrong between the bedside and Kafka: records that come late, twice, in the wrong order, or
spoiled."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import Counter
from dataclasses import astuple, dataclass, fields
from itertools import accumulate, count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.columns.records import Outgoing
from stream.synthetic import spoiling
from stream.synthetic.pacing import EventFeed

MINUTE_MS = 60_000
OBSERVATION, DISCHARGE = b'{"type":"observation"', b'{"type":"discharge"'
RESULT_DELAY_MINUTES = (4.0, 180.0)
DISCHARGE_DELAY_MINUTES = (2.0, 10.0)
MISTAKEN_MS = 3 * MINUTE_MS
LONGEST_WINDOW = 20
MEAN_WINDOW = 6.0
"""Half of the windows are of one record, the others of 2 to `LONGEST_WINDOW`."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much goes wrong: shares of all events unless stated otherwise.

    late: of the observations with the laboratory's results; these come minutes to hours later.
    late_discharges: of the discharges; a patient who has returned is then discharged from the stay before.
    repeated: records that were sent before, alone or in windows of up to 20, as by a producer that retries.
    swapped: observations sent after the patient's next. bad_fields: with a value that is no number.
    unreadable: records besides, which no consumer can take. clock_resets: observed in the year 2000.
    cancelled: observations of patients who are then discharged by mistake, which is taken back.
    """

    late: float = 0.0
    late_discharges: float = 0.0
    repeated: float = 0.0
    swapped: float = 0.0
    bad_fields: float = 0.0
    unreadable: float = 0.0
    clock_resets: float = 0.0
    cancelled: float = 0.0


AS_IN_LIFE = Shares(0.3, 0.05, 0.005, 0.003, 0.002, 0.002, 0.0002, 0.0003)


_Event = tuple[bytes | None, bytes | None, int]


class _Sent(NamedTuple):
    """A record, by what `Outgoing` has of it."""

    key: bytes | None
    value: bytes
    at: int


class _Waiting(NamedTuple):
    """A patient's record that is held back: until the patient's next event was sent (`due_ms` is None), or
    just before the first that is no observation, or that happens from `due_ms` on."""

    record: _Sent
    due_ms: int | None


class Faulty:
    """A feed in which things go wrong by `shares`. The same seed gives the same faults, however the calls
    of `tick` divide the events; `counts` is how many of each were given so far, by the names of `Shares`."""

    def __init__(self, feed: EventFeed, shares: Shares, seed: int) -> None:
        self.counts = Counter(dict.fromkeys((field.name for field in fields(Shares)), 0))
        self._feed, self._shares = feed, shares
        children = np.random.SeedSequence(seed).spawn(2)
        self._drawn, self._which = (np.random.default_rng(child) for child in children)
        _, _, repeated, *others = astuple(shares)
        self._limits = list(accumulate([repeated / MEAN_WINDOW, *others]))
        self._faults = (
            self._repeat, self._swap, self._bad_field, self._unreadable, self._reset_clock, self._mistake
        )  # fmt: skip
        self._out: list[_Event] = []
        self._recent: list[_Event] = []
        self._held = count()
        self._delayed: list[tuple[int, int, str, _Sent]] = []
        self._waiting: dict[bytes | None, _Waiting] = {}

    def due(self, until_ms: int) -> int:
        """Events that are due, without what goes wrong."""
        return self._feed.due(until_ms)

    def tick(self, until_ms: int, limit: int) -> Outgoing:
        """As the feed's; `limit` counts neither added nor held-back events."""
        self._out = []
        while len(sound := self._feed.tick(until_ms, limit)):
            self._send(sound)
            if self._out:
                break
        if len(sound) < limit:
            self._release(until_ms)
        self._recent = (self._recent + self._out)[-LONGEST_WINDOW:]
        keys, values, times = zip(*self._out, strict=True) if self._out else ((), (), ())
        return Outgoing(sound.topic, values, keys, timestamps=np.array(times, np.int64))

    def _send(self, sound: Outgoing) -> None:
        times: list[int] = [] if sound.timestamps is None else sound.timestamps.tolist()
        events = zip(sound.keys, sound.values, times, strict=True)
        drawn = self._drawn.random((len(sound), 2))
        delayed = self._delays(sound, drawn[:, 1])
        odd = delayed | (drawn[:, 0] < self._limits[-1])
        for row, (event, special) in enumerate(zip(events, odd.tolist(), strict=True)):
            if self._delayed and self._delayed[0][0] <= event[2]:
                self._release(event[2])
            if event[0] in self._waiting:
                self._pass_by(_sent(event))
            elif not special:
                self._out.append(event)
            elif delayed[row]:
                self._delay(_sent(event))
            else:
                self._faults[bisect_right(self._limits, drawn[row, 0])](_sent(event))

    def _delays(self, sound: Outgoing, drawn: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the events are held back for a while, or a part of them. drawn: float64 [N], 0 to 1."""
        late = np.zeros(len(sound), np.bool_)
        for row in np.flatnonzero(drawn < max(self._shares.late, self._shares.late_discharges)).tolist():
            value = sound.values[row] or b""
            if spoiling.with_results(value):
                late[row] = drawn[row] < self._shares.late
            elif value.startswith(DISCHARGE):
                late[row] = drawn[row] < self._shares.late_discharges
        return late

    def _release(self, until_ms: int) -> None:
        while self._delayed and self._delayed[0][0] <= until_ms:
            _, _, name, sent = heapq.heappop(self._delayed)
            self._give(name, sent)

    def _give(self, name: str, sent: _Sent) -> None:
        self.counts[name] += 1
        self._out.append(sent)

    def _pass_by(self, sent: _Sent) -> None:
        """Send an event of a patient of whom something is held back."""
        held, due_ms = self._waiting[sent.key]
        if due_ms is None:
            self._out.append(sent)
            self._give("swapped", held)
        elif _observes(sent) and sent.at < due_ms:
            self._out.append(sent)
            return
        else:
            self._give("cancelled", held)
            self._out.append(sent)
        del self._waiting[sent.key]

    def _delay(self, sent: _Sent) -> None:
        if sent.value.startswith(DISCHARGE):
            self._hold("late_discharges", sent, DISCHARGE_DELAY_MINUTES)
        else:
            now, later = spoiling.split(sent.value)
            self._out.append(sent._replace(value=now))
            self._hold("late", sent._replace(value=later), RESULT_DELAY_MINUTES)

    def _hold(self, name: str, sent: _Sent, minutes: tuple[float, float]) -> None:
        """Until a while has passed: seldom long, often short."""
        low, high = map(math.log, minutes)
        due_ms = sent.at + round(math.exp(self._which.uniform(low, high)) * MINUTE_MS)
        heapq.heappush(self._delayed, (due_ms, next(self._held), name, sent))

    def _repeat(self, sent: _Sent) -> None:
        self._out.append(sent)
        single = self._which.random() < 0.5
        size = 1 if single else int(self._which.integers(2, LONGEST_WINDOW, endpoint=True))
        for again in (self._recent + self._out)[-size:]:
            self._give("repeated", _sent(again))

    def _swap(self, sent: _Sent) -> None:
        if _observes(sent):
            self._waiting[sent.key] = _Waiting(sent, None)
        else:
            self._out.append(sent)

    def _bad_field(self, sent: _Sent) -> None:
        value = spoiling.bad_field(sent.value, int(self._which.integers(len(spoiling.BAD_FIELDS))))
        self.counts["bad_fields"] += value != sent.value
        self._out.append(sent._replace(value=value))

    def _unreadable(self, sent: _Sent) -> None:
        self._out.append(sent)
        spoil = spoiling.UNREADABLE[self._which.integers(len(spoiling.UNREADABLE))]
        self._give("unreadable", sent._replace(value=spoil(sent.value)))

    def _reset_clock(self, sent: _Sent) -> None:
        if _observes(sent):
            self._give("clock_resets", sent._replace(value=spoiling.reset_clock(sent.value, sent.at)))
        else:
            self._out.append(sent)

    def _mistake(self, sent: _Sent) -> None:
        """Discharge a patient who stays; it is taken back later."""
        self._out.append(sent)
        if _observes(sent):
            at, back = sent.at + 1, sent.at + MISTAKEN_MS
            self._out.append(_Sent(sent.key, spoiling.discharge_of(sent.value, at, cancel=False), at))
            cancelled = _Sent(sent.key, spoiling.discharge_of(sent.value, at + 1, cancel=True), at + 1)
            self._waiting[sent.key] = _Waiting(cancelled, back)


def _observes(sent: _Sent) -> bool:
    return sent.value.startswith(OBSERVATION)


def _sent(event: _Event) -> _Sent:
    key, value, at = event
    return _Sent(key, value or b"", at)
