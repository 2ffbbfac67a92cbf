"""The judge finds what is wrong: a suite that cannot fail proves nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.chaos.changelog import Checkpoint, State
from tests.chaos.reading import Row
from tests.chaos.report import Report
from tests.chaos.verify import Letter, Score, Verdict, Written

EVENTS = 6
REFUSED, DISCHARGED = (0, 3), (0, 5)


def sound() -> Written:
    found = Written()
    for offset in (0, 1, 2, 4):
        found.scores[0, offset] = Score(0.5, offset, 7, {"HR": (0.5, 1), "Lactate": (-0.25, 2)})
        found.score_counts[0, offset] = 1
        found.order.setdefault(0, []).append((0, offset))
    found.letters[REFUSED] = Letter(b"p", b"bad", b"not_json", b"decode")
    found.letter_counts[REFUSED] = 1
    found.state.patients[0, b"p"] = State(1, (0, 0, 0, 5, 4, 1, 9), np.ones(4, np.float32), b"")
    found.state.checkpoints[0] = Checkpoint(EVENTS, 5)
    return found


def inputs() -> list[Row]:
    values = {REFUSED[1]: b"bad", DISCHARGED[1]: json.dumps({"type": "discharge"}).encode()}
    return [Row(0, offset, b"p", values.get(offset, b"{}"), {}) for offset in range(EVENTS)]


def lose(found: Written) -> None:
    del found.scores[0, 1], found.score_counts[0, 1]


def double(found: Written) -> None:
    found.score_counts[0, 2] += 1


def double_letter(found: Written) -> None:
    found.letter_counts[REFUSED] += 1


def lose_letter(found: Written) -> None:
    del found.letters[REFUSED], found.letter_counts[REFUSED]


def disorder(found: Written) -> None:
    found.order[0].reverse()


def other_partition(found: Written) -> None:
    found.order = {1: found.order[0]}


def other_risk(found: Written) -> None:
    found.scores[0, 4] = found.scores[0, 4]._replace(risk=0.50002)


def unlike(found: Written) -> None:
    found.unlike.append((0, 4))


def no_risk(found: Written) -> None:
    found.scores[0, 4] = found.scores[0, 4]._replace(risk=float("nan"))


def explain(found: Written, **effects: tuple[float, int]) -> None:
    found.scores[0, 4] = found.scores[0, 4]._replace(effects=effects)


def other_effect(found: Written) -> None:
    explain(found, HR=(0.5002, 1), Lactate=(-0.25, 2))


def other_value(found: Written) -> None:
    explain(found, HR=(0.5, 1), Lactate=(-0.25, 3))


def other_contributor(found: Written) -> None:
    explain(found, HR=(0.5, 1), GCS=(0.26, 2))


def fewer_contributors(found: Written) -> None:
    explain(found, HR=(0.5, 1))


def other_bytes(found: Written) -> None:
    found.letters[REFUSED] = found.letters[REFUSED]._replace(value=b"good")


def other_row(found: Written) -> None:
    found.state.patients[0, b"p"].row[2] += 1e-4


def other_stay(found: Written) -> None:
    state = found.state.patients[0, b"p"]
    found.state.patients[0, b"p"] = state._replace(stay=(0, 0, 0, 5, 5, 1, 9))


def leftover(found: Written) -> None:
    found.state.patients[0, b"q"] = found.state.patients[0, b"p"]


def behind(found: Written) -> None:
    found.state.checkpoints[0] = Checkpoint(EVENTS - 1, 5)


FAULTS: dict[Callable[[Written], None], str] = {
    lose: "1 lost: 0/1 (1 after 2. second)",
    double: "1 double: 0/2",
    double_letter: "1 double: 0/3",
    lose_letter: "1 lost: 0/3",
    disorder: "3 out of order: 0/0, 0/1, 0/2",
    other_partition: "4 in another partition",
    other_risk: "1 wrong score: 0/4",
    no_risk: "1 wrong score: 0/4",
    other_effect: "1 wrong score: 0/4",
    other_value: "1 wrong score: 0/4",
    other_contributor: "1 wrong score: 0/4",
    fewer_contributors: "1 wrong score: 0/4",
    unlike: "1 again, with another result: 0/4",
    other_bytes: "1 refused, but its bytes are changed: 0/3",
    other_row: "1 wrong states",
    other_stay: "1 wrong states",
    leftover: "1 wrong states: (0, b'q'): should be forgotten",
    behind: "wrong positions: 0",
}


def judge(mine: Written, committed: int = EVENTS, exactly_once: bool = True) -> list[str]:
    report = Report("test")
    for name, at in (("first", 0), ("second", 1), ("third", 2)):
        report.note("kills", name, {0: at})
    return Verdict(report, mine, sound(), exactly_once=exactly_once).judge(
        inputs(), {0: EVENTS}, {0: committed}
    )


def test_what_equals_the_reference_is_right() -> None:
    assert judge(sound()) == []


def test_effects_may_be_rounded_otherwise_and_one_of_two_that_are_as_large_be_named() -> None:
    mine = sound()
    explain(mine, HR=(0.5001, 1), GCS=(0.25, 2))
    assert judge(mine) == []


def test_at_least_once_may_repeat_itself() -> None:
    mine = sound()
    double(mine)
    double_letter(mine)
    disorder(mine)
    assert judge(mine, exactly_once=False) == []


def test_a_position_that_is_not_the_end_is_found() -> None:
    assert len(judge(sound(), EVENTS - 1)) == 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_and_told(fault: Callable[[Written], None]) -> None:
    mine = copy.deepcopy(sound())
    fault(mine)
    complaints = judge(mine)
    assert any(FAULTS[fault] in complaint for complaint in complaints), complaints
