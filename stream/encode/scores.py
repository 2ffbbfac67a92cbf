"""Scores as RiskScore records: columns in, JSON bytes out."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import product, repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.explain.words import in_words
from model.variables import VARIABLES
from stream.columns.records import Outgoing
from stream.columns.scores import Assessment, Contributions, Scores
from stream.state.changelog import TopicIds
from stream.state.names import Names

SHORT_HASH = 16
SHORT_ID = 8
MEMBERS = ("encounter_id", "unit", "bed")
PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""Bytes that stand for themselves in a JSON string."""


class ScoreEncoder:
    """Writes `stream.contracts.scores.RiskScore`; everything that a worker's scores share is written once.

    model_hash: hexadecimal SHA-256; its first 16 digits identify the model. signs: names of the vital
    signs, in the order of the bits of `Assessment.stale`. warm_up: events after which a score is warm. names:
    texts of the hashes in `Scores.places`. ids: of the topics; may be filled in until the first score.
    """

    def __init__(
        self,
        topic: str,
        *,
        source: str,
        ids: TopicIds | None = None,
        model_name: str,
        model_hash: str,
        target: str,
        signs: Sequence[str],
        warm_up: int,
        names: Names,
    ) -> None:
        self._topic = topic
        self._warm_up = warm_up
        self._flags = _flags(signs)
        self._names = names
        self._ids = ids or TopicIds()
        shared = {"source": source, "hash": model_hash[:SHORT_HASH], "target": target, "name": model_name}
        quoted = {name: json.dumps(text)[1:-1].replace("%", "%%") for name, text in shared.items()}
        self._template = (
            '{{"id":"{source}{{log}}/%d/%d/{hash}","patient_id":%b,%b"observed_at":%d,"scored_at":%d,"risk":%.6f,'
            '"target":"{target}","model":{{"name":"{name}","hash":"{hash}"}},"state":{{"events":%d,%b,'
            '"news2":{{"score":%d,%b,"source":{{"topic":"{source}","partition":%d,"offset":%d}}}}'
        ).format(**quoted)

    @cached_property
    def _bytes(self) -> bytes:
        """Made with the first score: by then it is known which topic the events are in."""
        return self._template.replace("{log}", _log(self._ids.input), 1).encode()

    def encode(self, scores: Scores, assessment: Assessment, scored_at: int) -> Outgoing:
        """One record a score, in order, to the partition that the event came from. scored_at: ms."""
        events = scores.events
        partitions, offsets = events.partitions.tolist(), events.offsets.tolist()
        warm = scores.counts >= self._warm_up
        flags = (assessment.stale << 3 | scores.closed << 2 | scores.late << 1 | warm).tolist()
        template, known, complete = self._bytes, self._flags, _COMPLETE
        values = [
            template % (partition, offset, patient, place, at, scored_at, risk, count, known[flag], points,
                        complete[whole], partition, offset)
            for partition, offset, patient, place, at, risk, count, flag, points, whole in zip(
                partitions, offsets, quote(events.patients), self._places(scores.places),
                events.observed_at.tolist(), scores.risk.tolist(), scores.counts.tolist(), flags,
                assessment.news2.tolist(), assessment.complete.tolist(), strict=True)
        ]  # fmt: skip
        if scores.contributions:
            for row, contributors in _contributors(scores.contributions):
                values[row] = values[row][:-1] + b',"contributors":' + contributors + b"}"
        return Outgoing(self._topic, values, events.patients, events.partitions, events.observed_at)

    def _places(self, places: NDArray[np.uint64]) -> Iterable[bytes]:
        """The members of each score that name the encounter, and where the patient is."""
        if not places.any():
            return repeat(b"", len(places))
        rows = list(map(tuple, places.tolist()))
        known = {row: self._members(row) for row in set(rows)}
        return [known[row] for row in rows]

    def _members(self, place: tuple[int, ...]) -> bytes:
        texts = {name: self._names[key] for name, key in zip(MEMBERS, place, strict=True) if key}
        return msgspec.json.encode(texts)[1:-1] + b"," if texts else b""


def _log(topic_id: str) -> str:
    """Distinguishes a topic's events from those of another that had its name; empty if the id is unknown."""
    return f"@{base64.urlsafe_b64decode(topic_id + '==').hex()[:SHORT_ID]}" if topic_id else ""


def _contributors(given: Contributions) -> Iterator[tuple[int, bytes]]:
    """The row of each explained score and its contributors as JSON."""
    described = (given.effects, given.values, given.previous, given.gaps, given.extremes, given.ages)
    columns = (column.tolist() for column in (given.rows, given.variables, *described))
    for row, *named in zip(*columns, strict=True):
        yield (
            row,
            msgspec.json.encode(
                [
                    {
                        "variable": VARIABLES[variable].name,
                        "value": float(f"{value:.7g}"),
                        "unit": VARIABLES[variable].unit,
                        "effect": round(effect, 4),
                        "age_seconds": round(3600 * rest[-1]),
                        "text": in_words(variable, effect, value, *rest),
                    }
                    for variable, effect, value, *rest in zip(*named, strict=True)
                    if math.isfinite(value)
                ]
            ),
        )


def quote(patients: list[bytes]) -> list[bytes]:
    """Each UTF-8 patient id as a JSON string."""
    if not b"".join(patients).translate(None, PLAIN):
        return [b'"%b"' % patient for patient in patients]
    return [msgspec.json.encode(patient.decode("utf-8", "replace")) for patient in patients]


_COMPLETE = (b'"complete":false}', b'"complete":true}')


def _flags(signs: Sequence[str]) -> list[bytes]:
    """JSON of the flags for each value of `stale << 3 | closed << 2 | late << 1 | warm`."""
    fragments = []
    for stale, closed, late, warm in product(range(1 << len(signs)), *[(False, True)] * 3):
        names = [sign for bit, sign in enumerate(signs) if stale >> bit & 1]
        coverage = round(1 - len(names) / len(signs), 2)
        state = {"warm": warm, "coverage": coverage, "late": late, "closed": closed, "stale": names}
        fragments.append(json.dumps(state, separators=(",", ":"))[1:].encode())
    return fragments
