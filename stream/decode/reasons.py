"""Why an event is refused: the slow path, which sees only what the fast path would not take."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import ValidationError

from stream.contracts import PATIENT_EVENT, Admission, Discharge, Observation

EMPTY = "empty"
TOO_LARGE = "too_large"
TOO_DEEP = "too_deep"
NOT_UTF8 = "not_utf8"
NOT_JSON = "not_json"
UNKNOWN_TYPE = "unknown_type"
MISSING_FIELD = "missing_field"
WRONG_FIELD = "wrong_field"
NON_FINITE = "non_finite"
KEY_MISMATCH = "key_mismatch"
FUTURE = "future"
DUPLICATE = "duplicate"
QUARANTINED = "quarantined"

CODES = (
    EMPTY,
    TOO_LARGE,
    TOO_DEEP,
    NOT_UTF8,
    NOT_JSON,
    UNKNOWN_TYPE,
    MISSING_FIELD,
    WRONG_FIELD,
    NON_FINITE,
    KEY_MISMATCH,
    FUTURE,
    DUPLICATE,
    QUARANTINED,
)
"""Every value of the header `vitalstream.error.code` and of the metric label `code`."""

MAX_DEPTH = 32


class Refusal(Exception):
    """Carries one of `CODES` out of the slow path; never leaves the room."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def validate(value: bytes | None, max_bytes: int) -> Observation | Admission | Discharge:
    """Parse one record's value by the contract. Raises `Refusal` with the first reason found."""
    if not value:
        raise Refusal(EMPTY)
    if len(value) > max_bytes:
        raise Refusal(TOO_LARGE)
    try:
        return PATIENT_EVENT.validate_python(_parse(value))
    except ValidationError as error:
        raise Refusal(_code(error)) from None


def _parse(value: bytes) -> Any:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(NOT_UTF8) from None
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise Refusal(TOO_DEEP) from None
    except ValueError:
        raise Refusal(NOT_JSON) from None
    if _deeper_than(parsed, MAX_DEPTH):
        raise Refusal(TOO_DEEP)
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


def _code(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    kind, given = fault["type"], fault["input"]
    if kind.startswith("union_tag"):
        return UNKNOWN_TYPE if isinstance(given, dict) else WRONG_FIELD
    if kind == "missing":
        return MISSING_FIELD
    if kind == "finite_number" or (isinstance(given, float) and not math.isfinite(given)):
        return NON_FINITE
    return WRONG_FIELD
