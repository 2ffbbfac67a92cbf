"""Holds what workers wrote under injections against an uninterrupted replay of the same input.

Read with the client that the workers did not use; parsed here, with nothing of `stream`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tests.chaos import changelog
from tests.chaos.reading import Read, Row
from tests.chaos.report import Report

TOLERANCE = 1e-5
EFFECT_TOLERANCE = 1.5e-4
"""Effects are published with four decimals."""
NONE: Mapping[str, tuple[float, int]] = MappingProxyType({})
SHOWN = 8
ERROR = "vitalstream.error."

Place = tuple[int, int]
"""Partition and offset of an input event."""


@dataclass(frozen=True)
class Topics:
    """What one application reads and writes. group: its consumer group."""

    observations: str
    scores: str
    letters: str
    changelog: str
    group: str


class Score(NamedTuple):
    """rest: hash of all but the risk, the contributors and the moment of scoring. effects: of each
    contributor, rounded, with a hash of what it measured; in another batch it may be rounded otherwise."""

    risk: float
    events: int
    rest: int
    effects: Mapping[str, tuple[float, int]] = NONE


class Letter(NamedTuple):
    key: bytes | None
    value: bytes | None
    code: bytes
    stage: bytes


@dataclass
class Written:
    """What an application wrote. order: the input places of all scores, in the order of each output
    partition, by output partition. unlike: places that were scored or refused again, with another result."""

    scores: dict[Place, Score] = field(default_factory=dict)
    score_counts: Counter[Place] = field(default_factory=Counter)
    order: dict[int, list[Place]] = field(default_factory=dict)
    letters: dict[Place, Letter] = field(default_factory=dict)
    letter_counts: Counter[Place] = field(default_factory=Counter)
    unlike: list[Place] = field(default_factory=list)
    state: changelog.Final = field(default_factory=changelog.Final)


def written(read: Read, servers: str, topics: Topics) -> Written:
    found = Written()
    for row in read(servers, topics.scores):
        place, score = _score(row)
        if _unlike(found.scores.setdefault(place, score), score):
            found.unlike.append(place)
        found.score_counts[place] += 1
        found.order.setdefault(row.partition, []).append(place)
    for row in read(servers, topics.letters):
        place, letter = _letter(row)
        if found.letters.setdefault(place, letter) != letter:
            found.unlike.append(place)
        found.letter_counts[place] += 1
    found.state = changelog.final(read(servers, topics.changelog))
    return found


class Verdict:
    """Compares and gathers complaints, each with the injection before it. end: of the input, by partition.
    exactly_once: else an event may be scored or refused again, later, with the same result."""

    def __init__(
        self, report: Report, mine: Written, reference: Written, *, exactly_once: bool = True
    ) -> None:
        self.complaints: list[str] = []
        self._exactly_once = exactly_once
        self._report, self._mine, self._reference = report, mine, reference

    def judge(self, inputs: Iterable[Row], end: Mapping[int, int], committed: Mapping[int, int]) -> list[str]:
        """All complaints; the counts go to the report."""
        mine, reference = self._mine, self._reference
        found = self._report.found
        found["events"] = self._account(inputs)
        found["scores"], found["dead letters"] = len(mine.scores), len(mine.letters)
        found["patients with state"] = len(mine.state.patients)
        found["changelog records"] = mine.state.records
        lost = [one for one in reference.scores if one not in mine.scores]
        lost += [one for one in reference.letters if one not in mine.letters]
        found["lost"] = self._complain("lost", lost)
        double = [one for one, count in mine.score_counts.items() if count > 1]
        double += [one for one, count in mine.letter_counts.items() if count > 1]
        if self._exactly_once:
            found["double"] = self._complain("double", double)
        else:
            found["again, with the same result"] = len(set(double) - set(mine.unlike))
        found["again, with another result"] = self._complain("again, with another result", mine.unlike)
        invented = [one for one in mine.scores if one not in reference.scores]
        invented += [one for one in mine.letters if one not in reference.letters]
        found["scored or refused, not so by the reference"] = self._complain("unlike the reference", invented)
        found["in another partition"] = self._complain("in another partition", self._misplaced())
        if self._exactly_once:
            found["out of order"] = self._complain("out of order", self._disordered())
        found["wrong score"] = self._wrong("wrong score", mine.scores, reference.scores, _unlike)
        found["wrong dead letter"] = self._wrong(
            "wrong dead letter", mine.letters, reference.letters, _differ
        )
        found["wrong state"] = self._states()
        found["wrong position"] = self._positions(end, committed)
        return self.complaints

    def _account(self, inputs: Iterable[Row]) -> int:
        """Every input is scored once or refused once by the reference, or is none that has a score; how many
        there are. The bytes of what was refused are unchanged."""
        reference, mine = self._reference, self._mine
        astray, changed, count = [], [], 0
        for row in inputs:
            count += 1
            place = row.partition, row.offset
            times = reference.score_counts[place] + reference.letter_counts[place]
            if times != 1 and not (times == 0 and _has_no_score(row.value)):
                astray.append(place)
            letter = mine.letters.get(place)
            if letter is not None and (letter.key, letter.value) != (row.key, row.value):
                changed.append(place)
        self._complain("astray in the reference itself", astray)
        self._complain("refused, but its bytes are changed", changed)
        return count

    def _disordered(self) -> list[Place]:
        """Scores that stand after one of a later event."""
        found = []
        for places in self._mine.order.values():
            offsets = np.array([offset for _, offset in places])
            found += [places[row + 1] for row in np.flatnonzero(np.diff(offsets) < 0).tolist()]
        return found

    def _misplaced(self) -> list[Place]:
        """Scores that stand in another partition than their event."""
        order = self._mine.order
        return [place for partition in order for place in order[partition] if place[0] != partition]

    def _wrong(
        self,
        what: str,
        mine: Mapping[Place, Any],
        reference: Mapping[Place, Any],
        unlike: Callable[..., bool],
    ) -> int:
        wrong = [one for one, it in mine.items() if one in reference and unlike(it, reference[one])]
        details = [f"{one}: {mine[one]}, reference {reference[one]}" for one in sorted(wrong)[:SHOWN]]
        self._complain(what, wrong, details)
        return len(wrong)

    def _states(self) -> int:
        mine, reference = self._mine.state.patients, self._reference.state.patients
        wrong = []
        for who in sorted(mine.keys() | reference.keys()):
            one, other = mine.get(who), reference.get(who)
            if one is None or other is None:
                wrong.append(f"{who}: {'missing' if one is None else 'should be forgotten'}")
            elif one.stay != other.stay or one.model != other.model or one.texts != other.texts:
                wrong.append(f"{who}: stay {one.stay}, reference {other.stay} ({changelog.STAY_FIELDS})")
            elif one.row.shape != other.row.shape or not np.allclose(
                one.row, other.row, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
            ):
                apart = np.nanmax(np.abs(one.row - other.row))
                wrong.append(f"{who}: the row differs by {apart:g}, {(one.row != other.row).sum()} floats")
        if wrong:
            self.complaints.append(f"{len(wrong)} wrong states: " + "\n  ".join(wrong[:SHOWN]))
        return len(wrong)

    def _positions(self, end: Mapping[int, int], committed: Mapping[int, int]) -> int:
        checkpoints, others = self._mine.state.checkpoints, self._reference.state.checkpoints
        wrong = [
            f"{one}: checkpoint {checkpoints.get(one)}, reference {others.get(one)}, "
            f"committed {committed.get(one)}, end {end[one]}"
            for one in end
            if end[one]
            and (
                checkpoints.get(one) != others.get(one)
                or (checkpoints[one].next_offset, committed.get(one)) != (end[one], end[one])
            )
        ]
        if wrong:
            self.complaints.append("wrong positions: " + "\n  ".join(wrong))
        return len(wrong)

    def _complain(self, what: str, places: list[Place], details: Iterable[str] = ()) -> int:
        if places:
            after = Counter(self._report.before(*place) for place in places)
            shown = ", ".join(f"{partition}/{offset}" for partition, offset in sorted(places)[:SHOWN])
            by = "; ".join(f"{count} after {name}" for name, count in after.most_common(SHOWN))
            self.complaints.append("\n  ".join([f"{len(places)} {what}: {shown} ({by})", *details]))
        return len(places)


def _score(row: Row) -> tuple[Place, Score]:
    assert row.value is not None
    value = json.loads(row.value)
    source, risk = value["source"], value.pop("risk")
    del value["scored_at"]
    assert row.key == value["patient_id"].encode(), f"a score under another's key: {row.offset}"
    effects = {
        one["variable"]: (one["effect"], hash((one["value"], one["unit"], one["age_seconds"])))
        for one in value.pop("contributors", ())
    }
    rest = hash(json.dumps(value, sort_keys=True))
    score = Score(risk, value["state"]["events"], rest, effects or NONE)
    return (source["partition"], source["offset"]), score


def _letter(row: Row) -> tuple[Place, Letter]:
    header = {name: row.headers[ERROR + name] for name in ("partition", "offset", "code", "stage")}
    place = int(header["partition"]), int(header["offset"])
    return place, Letter(row.key, row.value, header["code"], header["stage"])


def _unlike(one: Score, other: Score) -> bool:
    same = abs(one.risk - other.risk) <= TOLERANCE and one[1:3] == other[1:3]
    return not same or _unlike_effects(one.effects, other.effects)


def _unlike_effects(one: Mapping[str, tuple[float, int]], other: Mapping[str, tuple[float, int]]) -> bool:
    """Which of two that are equally large is the last one named may differ."""
    common = one.keys() & other.keys()
    pairs = [(one[name][0], other[name][0]) for name in common]
    sizes = [sorted(abs(effect) for effect, _ in effects.values()) for effects in (one, other)]
    return (
        len(one) != len(other)
        or any(one[name][1] != other[name][1] for name in common)
        or any(abs(a - b) > EFFECT_TOLERANCE for a, b in [*pairs, *zip(*sizes, strict=False)])
    )


def _differ(one: Letter, other: Letter) -> bool:
    return one != other


def _has_no_score(value: bytes | None) -> bool:
    try:
        event = json.loads(value or b"")
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("type") in ("discharge", "transfer")
