"""Reads RiskScores, PatientEvents and dead letters as their consumers see them: what the tools need of each.
An event is read leniently, since refusing is the decoder's business."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import msgspec

from stream.columns.records import ERROR_PREFIX, Headers, Place
from stream.contracts.events import EARLIEST_MS, LATEST_MS

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
LONGEST_TEXT = 256
"""Characters of an encounter, a unit or a bed."""
LONG_INTEGER = 19
"""Digits; one that is shorter fits into 64 bits."""
Moment = Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]


class Model(msgspec.Struct):
    name: str
    hash: str


class State(msgspec.Struct):
    """closed: the stay was discharged, and is kept for what still comes of it; None of an old worker, which
    does not say it."""

    __repr__ = object.__repr__

    events: int
    warm: bool
    late: bool
    stale: list[str]
    closed: bool | None = None


class News2(msgspec.Struct):
    __repr__ = object.__repr__

    score: int
    complete: bool


class Source(msgspec.Struct):
    """Where the event of a score stands in the input."""

    topic: str
    partition: int
    offset: int


class Score(msgspec.Struct):
    """What is read of a RiskScore."""

    __repr__ = object.__repr__

    id: str
    patient_id: str
    observed_at: Moment
    risk: Annotated[float, msgspec.Meta(ge=0, le=1)]
    target: str
    model: Model
    state: State
    news2: News2
    source: Source
    encounter_id: str | None = None
    unit: str | None = None
    bed: str | None = None


class Event(msgspec.Struct):
    """What the board needs of a PatientEvent. A field that cannot be read is left out where the decoder does
    without it; where it does not, the event cannot be read."""

    __repr__ = object.__repr__

    patient_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    observed_at: Moment
    type: Literal["observation", "admission", "discharge", "transfer"] = "observation"
    values: Any = None
    cancel: Any = False
    encounter_id: Any = None
    unit: Any = None
    bed: Any = None

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        observed, discharged = self.type == "observation", self.type == "discharge"
        if observed and not isinstance(self.values, dict):
            raise ValueError("no values")
        if discharged and not isinstance(self.cancel, bool):
            raise ValueError("cancel is neither true nor false")
        if not observed and self.encounter_id is not None and _text(self.encounter_id) is None:
            raise ValueError("encounter_id is no text")
        given = self.values if observed else {}
        self.values = {name: value for name, value in given.items() if _is_number(value)}
        self.cancel = discharged and self.cancel
        self.encounter_id, self.unit, self.bed = map(_text, (self.encounter_id, self.unit, self.bed))


def read_event(value: bytes) -> Event:
    """Raises one of `UNREADABLE`."""
    try:
        return _strict(value)
    except msgspec.MsgspecError:  # NaN, 1e999 and the longest integers are no JSON to msgspec
        return msgspec.convert(json.loads(value.decode(), parse_int=_integer), Event)


def read_refusal(headers: Headers, topic: bytes) -> Place | None:
    """Partition and offset in the input of the event that a dead letter with these headers holds; None if it
    is of another topic, or says no such thing. A record may come with headers of the same names, which stand
    before the worker's own: the last counts."""
    said = dict(headers)
    place = [said.get(ERROR_PREFIX + name) or b"" for name in ("partition", "offset")]
    if said.get(ERROR_PREFIX + "topic") != topic:
        return None
    if not all(number.isdigit() and len(number) <= LONG_INTEGER for number in place):
        return None
    return int(place[0]), int(place[1])


def _integer(digits: str) -> int | float:
    """As a float where Python would refuse to read it, or msgspec to convert it."""
    return int(digits) if len(digits) < LONG_INTEGER else float(digits)


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _text(value: Any) -> str | None:
    """None too for what no UTF-8 can hold: half of a pair of surrogates."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    return value if value.encode(errors="ignore").decode() == value else None


read_score = msgspec.json.Decoder(Score).decode
_strict = msgspec.json.Decoder(Event).decode
