"""Who lies on the board: admitted, discharged, back again; in whatever order the two topics are read."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ward.board import DAY_MS, MOST_WAITING, Board
from stream.ward.screen import as_object
from tests.unit.ward.boards import MINUTE, START, event, observation, records, score

YEAR_2100 = (4_102_444_800_000 - START) / MINUTE
HOUR = 60
DAY = 24 * HOUR


@dataclass
class Ward:
    """A log of events, and a worker that scores it as the contract says, patient by patient."""

    says_closed: bool = True
    events: list = field(default_factory=list)
    scores: list = field(default_factory=list)
    _stays: dict = field(default_factory=dict)
    _counts: dict = field(default_factory=dict)

    def happens(self, kind, minute, patient="p", encounter=None, **said):
        known = {"encounter_id": encounter} if encounter else {}
        offset = len(self.events)
        if kind == "observation":
            known["values"] = {"HR": 60 + offset}
        self.events.append(event(kind, patient, minute, **known, **said))
        began, ended, of = self._stays.get(patient, (None, None, None))
        if kind == "discharge" and said.get("cancel"):
            self._stays[patient] = began, None, of
        elif kind == "discharge":
            if began is None or (minute >= began and of in (encounter, None)):
                self._stays[patient] = began or 0, minute, of or encounter
        elif began is None or (kind == "admission" and (ended is not None or encounter != of or of is None)):
            self._stays[patient] = began, ended, of = minute, None, encounter
        if kind in ("admission", "observation"):
            self.scores.append(
                score(
                    patient,
                    offset / 100,
                    minute,
                    offset=offset,
                    closed=ended is not None if self.says_closed else None,
                    events=self._count(patient, began),
                    where={"encounter_id": of} if of else None,
                )
            )

    def _count(self, patient, began):
        """Of the stay's events."""
        count = self._counts.get((patient, began), 0) + 1
        self._counts[patient, began] = count
        return count

    def board(self, turns=(), clock=None):
        """Read by turns: True for the next event, False for the next score; then the rest, events first."""
        board = Board()
        if clock is not None:
            board.score(records(score("clock", 0.0, clock)))
        topics = {True: (board.observe, self.events), False: (board.score, self.scores)}
        read = {True: 0, False: 0}
        for turn in [*turns, *[True] * len(self.events), *[False] * len(self.scores)]:
            take, topic = topics[turn]
            if read[turn] < len(topic):
                take(records(topic[read[turn]], offset=read[turn]))
                read[turn] += 1
        return board


def lying(board):
    return [bed.patient_id for bed in board.beds() if bed.patient_id != "clock"]


def tell(board, *happened, offset=0):
    board.observe(records(*happened, offset=offset))


def bed(board, patient="p"):
    return next(bed for bed in board.beds() if bed.patient_id == patient)


TURNS = st.lists(st.booleans(), max_size=40)
KINDS = st.sampled_from(["observation", "observation", "observation", "admission", "discharge", "cancel"])


@given(st.lists(st.tuples(KINDS, st.integers(0, 6)), max_size=14), TURNS, st.booleans())
def test_the_order_of_reading_makes_no_difference(course, turns, known_before):
    """A patient's events in order of time, some of them hours late."""
    ward = Ward()
    for step, (kind, late) in enumerate(course):
        minute = max(0, 10 * step - (60 * late if kind == "observation" and late > 3 else 0))
        said = {"cancel": True} if kind == "cancel" else {}
        ward.happens("discharge" if said else kind, minute, **said)
    ward.happens("observation", 200, patient="q")
    clock = 200 if known_before else None
    assert as_object(ward.board(turns, clock)) == as_object(ward.board((), clock))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), TURNS)
def test_a_discharged_patient_stays_gone(late, turns):
    """Whatever is read first, and whatever comes late of the stay."""
    ward = Ward()
    ward.happens("admission", 0)
    for minute in range(1, 30):
        ward.happens("observation", minute)
    ward.happens("discharge", 30)
    for minute in late:
        ward.happens("observation", minute)
    assert lying(ward.board(turns, clock=60)) == []


@given(st.integers(0, 60), st.integers(0, 30), TURNS)
def test_so_she_does_where_a_worker_does_not_say_that_the_stay_is_closed(charted, late, turns):
    """charted: of an event that was reported before the discharge, though it may be dated after it."""
    ward = Ward(says_closed=False)
    ward.happens("observation", 0)
    ward.happens("observation", charted)
    ward.happens("discharge", 30)
    ward.happens("observation", late)
    assert lying(ward.board(turns, clock=60)) == []


@given(TURNS)
def test_who_is_admitted_again_is_there_with_what_belongs_to_the_new_stay(turns):
    ward = Ward()
    ward.happens("admission", 0)
    ward.happens("observation", 5)
    ward.happens("discharge", 20)
    ward.happens("admission", 40)
    board = ward.board(turns, clock=60)
    assert lying(board) == ["p"] and bed(board).vitals == {} and bed(board).trend.levels() == [0.03]
    ward.happens("observation", 50)
    assert bed(ward.board(turns, clock=60)).vitals == {"heart_rate": 64}


@pytest.mark.parametrize("encounters", [(None, None), ("a", "b")], ids=["by time", "by encounter"])
@given(turns=TURNS)
def test_a_late_discharge_of_the_stay_before_leaves_the_patient_where_she_is(encounters, turns):
    before, now = encounters
    ward = Ward()
    ward.happens("admission", 0, encounter=before)
    ward.happens("admission", 40, encounter=now)
    ward.happens("observation", 50, encounter=now)
    ward.happens("discharge", 20, encounter=before)
    board = ward.board(turns, clock=60)
    assert lying(board) == ["p"] and bed(board).vitals == {"heart_rate": 62}


def test_another_encounter_is_another_stay_even_where_the_clocks_disagree() -> None:
    ward = Ward()
    ward.happens("observation", 40, encounter="b")
    ward.happens("discharge", 45, encounter="a")
    assert lying(ward.board(clock=60)) == ["p"]


@given(TURNS)
def test_a_discharge_taken_back_brings_the_patient_back(turns):
    ward = Ward()
    ward.happens("admission", 0)
    ward.happens("observation", 5)
    ward.happens("discharge", 20)
    assert lying(ward.board(turns, clock=60)) == []
    ward.happens("discharge", 25, cancel=True)
    board = ward.board(turns, clock=60)
    assert lying(board) == ["p"] and bed(board).vitals == {"heart_rate": 61}
    ward.happens("observation", 30)
    board = ward.board(turns, clock=60)
    assert lying(board) == ["p"] and len(bed(board).trend.levels()) > 1
    ward.happens("discharge", 35)
    assert lying(ward.board(turns, clock=60)) == []


def test_a_score_of_a_closed_stay_makes_no_bed_and_takes_one_away() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 1, closed=True)))
    tell(board, observation("p", 1, HR=80))
    assert lying(board) == []
    board.score(records(score("p", 0.5, 2), score("q", 0.5, 2)))
    assert lying(board) == ["p", "q"]
    board.score(records(score("p", 0.5, 3, closed=True)))
    assert lying(board) == ["q"]


def test_a_late_result_of_an_earlier_encounter_takes_nobody_away() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 2, where={"encounter_id": "b"})))
    board.score(records(score("p", 0.9, 1, closed=True, where={"encounter_id": "a"})))
    assert bed(board).risk == 0.5


def test_another_encounter_does_not_inherit_vital_signs() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 10, where={"encounter_id": "a"})))
    tell(board, observation("p", 10, HR=150))
    board.score(records(score("p", 0.1, 20, where={"encounter_id": "b"}, offset=1)))
    assert (bed(board).vitals, bed(board).trend.levels()) == ({}, [0.1])


def test_the_last_of_a_ward_can_leave_it() -> None:
    """There is no score that would move the clock to the discharge."""
    board = Board()
    board.score(records(score("p", 0.5)))
    tell(board, event("discharge", "p", 5 * HOUR), offset=1)
    assert lying(board) == []


@pytest.mark.parametrize("kind", ["observation", "admission", "transfer"])
def test_an_event_of_the_far_future_moves_no_clock_and_shows_no_value(kind):
    board = Board()
    board.score(records(score("p", 0.5)))
    tell(board, observation("p", HR=80))
    before = as_object(board)
    tell(board, event(kind, "p", YEAR_2100, values={"HR": 150}, unit="B", bed="9"))
    tell(board, event(kind, "nobody", YEAR_2100, values={"HR": 150}))
    assert as_object(board) == before and board.now_ms == START


@pytest.mark.parametrize("minute", [HOUR, DAY, YEAR_2100])
def test_a_discharge_that_the_worker_refused_as_too_early_takes_nobody_away(minute):
    """What it does with it is seen by the next score, if the discharge is only somewhat ahead."""
    board = Board()
    board.score(records(score("p", 0.5)))
    tell(board, event("discharge", "p", minute), offset=1)
    board.score(records(score("p", 0.6, 1, offset=2)))
    assert bed(board).risk == 0.6
    board.score(records(score("q", 0.6, minute, offset=3)))
    assert "p" in lying(board) or minute > 3 * DAY


def test_a_vital_sign_ahead_of_the_clock_is_shown_once_the_clock_is_there() -> None:
    board = Board(max_future_ms=5 * MINUTE)
    board.score(records(score("p", 0.5)))
    tell(board, observation("p", 5, HR=80), observation("p", 6, HR=90))
    assert bed(board).vitals == {"heart_rate": 80}
    board.score(records(score("p", 0.5, 1)))
    assert bed(board).vitals == {"heart_rate": 90}


def test_silent_beds_age_out() -> None:
    board = Board(expire_after_ms=3 * DAY_MS)
    board.score(records(score("p", 0.5)))
    tell(board, observation("q", HR=80))
    board.score(records(score("clock", 0.1, 3 * DAY)))
    assert sorted(lying(board)) == ["p", "q"]
    board.score(records(score("clock", 0.1, 3 * DAY + 1)))
    assert lying(board) == []
    tell(board, observation("q", HR=80))
    assert lying(board) == []


def test_what_is_remembered_of_discharged_patients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ward.board.MOST_GONE", most := 1000)
    board = Board()
    board.score(records(score("clock", 0.1)))
    for first in range(0, most + 100, 100):
        leaving = (event("discharge", f"p{first + number}", first / 1000) for number in range(100))
        tell(board, *leaving)
    assert len(board._patients) == most + 1 and "p99" not in board._patients
    board.score(records(score("clock", 0.1, 3 * DAY + 20)))
    assert set(board._patients) == {"clock"}


def test_so_are_the_events_that_wait_and_the_nearest_are_kept() -> None:
    board = Board()
    board.score(records(score("p", 0.5)))
    tell(board, *(observation("p", YEAR_2100 + minute, HR=80) for minute in range(MOST_WAITING)))
    tell(board, observation("p", 10, HR=90))
    assert len(board._waiting) <= MOST_WAITING
    board.score(records(score("p", 0.5, 10)))
    assert bed(board).vitals == {"heart_rate": 90}


def test_unit_and_bed_are_those_said_last() -> None:
    board = Board()
    board.score(records(score("p", 0.5, 10, where={"unit": "ICU", "bed": "3"}, offset=1)))
    assert (bed(board).unit, bed(board).bed) == ("ICU", "3")
    tell(board, event("transfer", "p", 12, unit="HDU", bed="4"), offset=2)
    board.score(records(score("p", 0.5, 11, where={"unit": "ICU", "bed": "3"}, offset=3)))
    assert (bed(board).unit, bed(board).bed) == ("HDU", "4")
    board.score(records(score("p", 0.5, 13, where={"unit": "HDU", "bed": "5"}, offset=4)))
    assert (bed(board).unit, bed(board).bed) == ("HDU", "5")
