"""Why an event is refused: the slow path, which sees only what the fast path would not take."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from stream.columns.events import Code, Dropped
from stream.contracts.events import PATIENT_EVENT, Admission, Discharge, Observation, Transfer

MAX_DEPTH = 32
SPARED = frozenset({"event_id", "unit", "bed", "outcome", "static"})
"""Fields without which an event means what it meant. An observation does so without `encounter_id`, too."""
LONGEST_INTEGER = 400
"""Digits. A longer one is no float64 either, and Python refuses to read the longest."""

Event = Observation | Admission | Transfer | Discharge


class InvalidRecord(Exception):
    """Carries the reason out of the slow path; never leaves the stage."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


def validate(value: bytes | None, max_bytes: int) -> tuple[Event, Counter[Dropped]]:
    """Parse one record's value by the contract. The event, and how many of its fields were left out because
    they cannot be read. Raises `InvalidRecord` with the first reason found."""
    if not value:
        raise InvalidRecord(Code.EMPTY)
    if len(value) > max_bytes:
        raise InvalidRecord(Code.TOO_LARGE)
    parsed = _parse(value)
    try:
        return PATIENT_EVENT.validate_python(parsed), Counter()
    except ValidationError as error:
        dropped = Counter(_without(parsed, error))
    try:
        return PATIENT_EVENT.validate_python(parsed), dropped
    except ValidationError as error:
        raise InvalidRecord(_code(error)) from None


def _without(parsed: Any, error: ValidationError) -> Iterator[Dropped]:
    """Take the fields that are wrong, and that can be spared, out of `parsed`."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        match fault["loc"]:
            case (_, "values", _):  # its name may be spelt otherwise here: pydantic replaces lone surrogates
                yield Dropped.NOT_A_NUMBER
            case (_, "static", str(name)):
                del parsed["static"][name]
                yield Dropped.WRONG_FIELD
            case (kind, str(name)) if name in SPARED or (kind, name) == ("observation", "encounter_id"):
                del parsed[name]
                yield Dropped.WRONG_FIELD
    match parsed:
        case {"values": dict(values)}:
            parsed["values"] = {name: value for name, value in values.items() if _is_reading(value)}


def _is_reading(value: Any) -> bool:
    """Whether the contract takes it as a value: a finite number, or null."""
    return value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)


def _parse(value: bytes) -> Any:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRecord(Code.NOT_UTF8) from None
    try:
        parsed = json.loads(text, parse_int=_integer)
    except RecursionError:
        raise InvalidRecord(Code.TOO_DEEP) from None
    except ValueError:
        raise InvalidRecord(Code.NOT_JSON) from None
    if _deeper_than(parsed, MAX_DEPTH):
        raise InvalidRecord(Code.TOO_DEEP)
    return parsed


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def _deeper_than(parsed: Any, depth: int) -> bool:
    level = [parsed]
    for _ in range(depth):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _code(error: ValidationError) -> Code:
    fault = error.errors(include_url=False, include_context=False)[0]
    if fault["type"].startswith("union_tag"):
        return Code.UNKNOWN_TYPE if isinstance(fault["input"], dict) else Code.WRONG_FIELD
    return Code.MISSING_FIELD if fault["type"] == "missing" else Code.WRONG_FIELD
