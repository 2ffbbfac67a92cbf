"""Why an event is refused: the slow path, which sees only what the fast path would not take."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import ValidationError

from stream.contracts import PATIENT_EVENT, Admission, Discharge, Observation
from stream.records import Code

MAX_DEPTH = 32


class Refusal(Exception):
    """Carries the reason out of the slow path; never leaves the room."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


def validate(value: bytes | None, max_bytes: int) -> Observation | Admission | Discharge:
    """Parse one record's value by the contract. Raises `Refusal` with the first reason found."""
    if not value:
        raise Refusal(Code.EMPTY)
    if len(value) > max_bytes:
        raise Refusal(Code.TOO_LARGE)
    try:
        return PATIENT_EVENT.validate_python(_parse(value))
    except ValidationError as error:
        raise Refusal(_code(error)) from None


def _parse(value: bytes) -> Any:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(Code.NOT_UTF8) from None
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise Refusal(Code.TOO_DEEP) from None
    except ValueError:
        raise Refusal(Code.NOT_JSON) from None
    if _deeper_than(parsed, MAX_DEPTH):
        raise Refusal(Code.TOO_DEEP)
    return parsed


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
    kind, given = fault["type"], fault["input"]
    if kind.startswith("union_tag"):
        return Code.UNKNOWN_TYPE if isinstance(given, dict) else Code.WRONG_FIELD
    if kind == "missing":
        return Code.MISSING_FIELD
    if kind == "finite_number" or (isinstance(given, float) and not math.isfinite(given)):
        return Code.NON_FINITE
    return Code.WRONG_FIELD
