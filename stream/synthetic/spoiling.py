"""What a record of the synthetic ward looks like when it was spoiled on its way: one event in, one out."""

from __future__ import annotations

import re
from collections.abc import Callable

UNREADABLE: tuple[Callable[[bytes], bytes], ...] = (
    lambda event: event[: len(event) // 2],
    lambda event: event.replace(b'"patient_id":"', b'"patient_id":"\xff', 1),
    lambda event: event.replace(b'"patient_id":"', b'"patient_id":"other-', 1),
    lambda event: event.replace(b'"patient_id":', b'"person":', 1),
    lambda event: event.replace(b'"observed_at":', b'"observed_at":"noon","at":', 1),
    lambda event: event.replace(b'"type":"', b'"type":"un', 1),
)
"""Cut off; not UTF-8; under another's key; a field missing, of a wrong type; an unknown type."""

_VALUE = re.compile(rb'"(HR|SaO2|RespRate|Temp|NISysABP)":(\d+)(\.\d+)?')
BAD_FIELDS = (rb'"\1":"\2%"', rb'"\1":null', rb'"\1":"\2,0"')
"""A number with its unit, none, one with a decimal comma."""

_OBSERVED_AT = re.compile(rb'"observed_at":(\d+)')
YEAR_2000_MS = 946_684_800_000
"""Where a device's clock begins again when its battery was empty."""
DAY_MS = 86_400_000

_RESULT = re.compile(
    rb',"(?:pH|PaO2|PaCO2|Lactate|Glucose|BUN|Creatinine|K|Na|HCO3|HCT|WBC|Platelets)":[\d.]+'
)
_EVENT_ID = re.compile(rb'("event_id":"[^"]*)"')
_HEAD = re.compile(rb'"patient_id":"[^"]*","encounter_id":"[^"]*","event_id":"[^"]*')


def bad_field(event: bytes, which: int) -> bytes:
    """With one value that is no number: `BAD_FIELDS[which]`. The event itself if it has no value."""
    return _VALUE.sub(BAD_FIELDS[which], event, count=1)


def reset_clock(event: bytes, at: int) -> bytes:
    """As observed on the first day of the year 2000, at the time of day of `at`, ms."""
    return _OBSERVED_AT.sub(b'"observed_at":%d' % (YEAR_2000_MS + at % DAY_MS), event, count=1)


def with_results(event: bytes) -> bool:
    """Whether results of the laboratory are in an observation, as a rule: `split` says."""
    return b'"pH":' in event or b'"K":' in event


def split(event: bytes) -> tuple[bytes, bytes]:
    """An observation without the laboratory's results, and a record of its own with these."""
    results = b"".join(_RESULT.findall(event))
    opening, _, _ = event.partition(b',"values":{')
    own = _EVENT_ID.sub(rb'\1-results"', opening, count=1)
    return _RESULT.sub(b"", event), b'%s,"values":{%s}}' % (own, results[1:])


def discharge_of(event: bytes, at: int, cancel: bool) -> bytes:
    """A discharge, at `at` ms, of the patient whom the event is of, or its cancellation."""
    head = _HEAD.search(event)
    if head is None:
        raise ValueError("an event without ids")
    named = head[0], b"cancel" if cancel else b"mistake", at, b',"cancel":true' if cancel else b""
    return b'{"type":"discharge",%s-%s","observed_at":%d%s}' % named
