"""Scores as RiskScore records: columns in, JSON bytes out."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product

import msgspec
import numpy as np

from model.explain.words import in_words
from model.variables import VARIABLES
from stream.records import Assessment, Contributions, Outgoing, Scores
from stream.state.changelog import TopicIds

SHORT_HASH = 16
SHORT_ID = 8
PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""Bytes that stand for themselves in a JSON string."""


class ScoreEncoder:
    """Writes `stream.contracts.RiskScore`; everything that a worker's scores share is written once.

    model_hash: hexadecimal SHA-256; its first 16 digits identify the model. signs: names of the vital
    signs, in the order of the bits of `Assessment.stale`. warm_up: events after which a score is warm. ids:
    of the topics; may be filled in until the first score.
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
    ) -> None:
        self._topic = topic
        self._warm_up = warm_up
        self._flags = _flags(signs)
        self._ids = ids or TopicIds()
        shared = {"source": source, "hash": model_hash[:SHORT_HASH], "target": target, "name": model_name}
        quoted = {name: json.dumps(text)[1:-1].replace("%", "%%") for name, text in shared.items()}
        self._template = (
            '{{"id":"{source}{{log}}/%d/%d/{hash}","patient_id":%b,"observed_at":%d,"scored_at":%d,"risk":%.6f,'
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
        flags = (assessment.stale << 2 | scores.late.astype(np.int64) << 1 | warm).tolist()
        template, known, complete = self._bytes, self._flags, _COMPLETE
        values = [
            template % (partition, offset, patient, at, scored_at, risk, count, known[flag], points,
                        complete[whole], partition, offset)
            for partition, offset, patient, at, risk, count, flag, points, whole in zip(
                partitions, offsets, quote(events.patients), events.observed_at.tolist(),
                scores.risk.tolist(), scores.counts.tolist(), flags, assessment.news2.tolist(),
                assessment.complete.tolist(), strict=True)
        ]  # fmt: skip
        if scores.contributions:
            for row, contributors in _contributors(scores.contributions):
                values[row] = values[row][:-1] + b',"contributors":' + contributors + b"}"
        return Outgoing(self._topic, values, events.patients, events.partitions, events.observed_at)


def _log(topic_id: str) -> str:
    """Tells the events of a topic from those of another that had its name; empty if the id is unknown."""
    return f"@{base64.urlsafe_b64decode(topic_id + '==').hex()[:SHORT_ID]}" if topic_id else ""


def _contributors(given: Contributions) -> Iterator[tuple[int, bytes]]:
    """The row of each explained score and its contributors as JSON."""
    found = (given.effects, given.values, given.previous, given.gaps, given.extremes, given.ages)
    columns = (column.tolist() for column in (given.rows, given.variables, *found))
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
    """JSON of warm, late and stale for each value of `stale << 2 | late << 1 | warm`."""
    fragments = []
    for stale, late, warm in product(range(1 << len(signs)), (False, True), (False, True)):
        names = [sign for bit, sign in enumerate(signs) if stale >> bit & 1]
        confidence = round(1 - len(names) / len(signs), 2) if warm else 0
        state = {"warm": warm, "confidence": confidence, "late": late, "stale": names}
        fragments.append(json.dumps(state, separators=(",", ":"))[1:].encode())
    return fragments
