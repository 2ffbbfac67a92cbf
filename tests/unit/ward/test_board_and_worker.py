"""The board beside a real worker: it shows the worker's open stays, and nothing that the worker refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns.records import ERROR_PREFIX
from stream.settings import load
from stream.ward import patient as patients
from stream.ward.board import Board
from stream.ward.screen import as_object
from stream.worker import assembly
from tests.support.examples import tries
from tests.support.memory import as_log, run_through
from tests.unit.ward.boards import MINUTE, START, event, records, with_headers

YEAR_2100 = (4_102_444_800_000 - START) // MINUTE
LONG_AGO = -9 * 24 * 60
LAST = 300
IDS = ["p", "q", "r", "s", "t"]
BYSTANDER = event("observation", "z", 0, values={"HR": 80}, event_id="last")
"""Its score shows that the worker has passed all that stands before it."""
NAMED = st.sampled_from([None, None, "E1", "E2"])


@st.composite
def happened(draw):
    kind = draw(
        st.sampled_from(["observation"] * 4 + ["admission", "transfer", "discharge", "cancel", "merge"])
    )
    minute = draw(st.integers(0, 40) | st.sampled_from([LONG_AGO, YEAR_2100]))
    said = {
        "encounter_id": draw(NAMED),
        "unit": draw(st.sampled_from([None, None, "ICU", "HDU"])),
        "bed": draw(st.sampled_from([None, None, "1", "2"])),
        "event_id": draw(st.none() | st.sampled_from("abcdef")),
    }
    if kind == "observation":
        said["values"] = {draw(st.sampled_from(["HR", "SaO2", "Temp"])): draw(st.integers(0, 220))}
    if kind == "cancel":
        kind, said["cancel"] = "discharge", True
    known = {name: value for name, value in said.items() if value is not None}
    return event(kind, draw(st.sampled_from(IDS)), minute, **known)


def scored(log):
    """A worker's scores, by the offset of their events, and the headers of its dead letters."""
    scores, letters = {}, {}

    def take(outgoing):
        for row, (key, value) in enumerate(as_log(outgoing)):
            if outgoing.topic.endswith("scores.v1"):
                scores[json.loads(value)["source"]["offset"]] = (key, value, START)
            else:
                headers = outgoing.headers[row]
                letters[int(dict(headers)[ERROR_PREFIX + "offset"])] = (key, headers)

    run_through(iter([(key, value) for key, value, _ in log]), take)
    return scores, letters


def fed(log, scores, letters, turns):
    """By turns: 0 for the next event, 1 for the next score, 2 for the next dead letter; then the rest."""
    board = Board()
    topics = [
        [lambda at=at: board.observe(records(log[at], offset=at)) for at in range(len(log)) if log[at]],
        [lambda at=at: board.score(records(scores[at], offset=at)) for at in sorted(scores)],
        [
            lambda at=at: board.refuse(with_headers([letters[at][0]], [letters[at][1]]))
            for at in sorted(letters)
        ],
    ]
    for turn in [*turns, *(n for n in (2, 0, 1) for _ in topics[n])]:
        if topics[turn]:
            topics[turn].pop(0)()
    return board


def open_stays(log):
    """Patients whose stay the worker takes for open, and those of whom it knows none, by one more event of
    each."""
    probes = [event("observation", patient, LAST, values={"HR": 80}, event_id="probe") for patient in IDS]
    scores, _ = scored([*log, *probes])
    told = [(patient, json.loads(scores[len(log) + n][1])["state"]) for n, patient in enumerate(IDS)]
    unknown = {patient for patient, state in told if state["events"] == 1}
    return {patient for patient, state in told if not state["closed"]} - unknown, unknown


@pytest.fixture(autouse=True, scope="module")
def one_model():
    """It is read once, not for every log."""
    model = assembly.load_model(load({}, environment={}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "load_model", lambda _: model)
        yield


@pytest.fixture(autouse=True, scope="module")
def enough_room():
    """What is kept is bounded; here nothing of it is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patients, "MOST_READINGS", 100)
        patch.setattr(patients, "MOST_SAYINGS", 100)
        yield


@given(
    st.lists(happened(), min_size=20, max_size=60),
    st.lists(st.lists(st.integers(0, 2), max_size=150), min_size=1, max_size=5),
)
@settings(max_examples=tries(30))
def test_the_board_shows_the_open_stays_and_nothing_refused(log, readings):
    log = [*log, BYSTANDER]
    scores, letters = scored(log)
    accepted = [None if at in letters else one for at, one in enumerate(log)]
    expected = fed(accepted, scores, {}, [])
    for turns in readings:
        assert as_object(fed(log, scores, letters, turns)) == as_object(expected)
    present, unknown = open_stays(log)
    shown = {bed.patient_id for bed in expected.beds()}
    assert shown - unknown - {"z"} == present


@given(st.lists(happened(), min_size=20, max_size=60), st.integers(1, 40))
@settings(max_examples=tries(20))
def test_a_board_that_starts_in_the_middle_goes_by_what_it_finds(log, last):
    """Who was scored since, and after every discharge that it finds, is there if the stay is open, and only
    then."""
    scores, letters = scored(log)
    recent = [None] * max(0, len(log) - last) + log[-last:]
    found = {at: scores[at] for at in sorted(scores)[-last:]}
    shown = {bed.patient_id for bed in fed(recent, found, letters, []).beds()}
    present, unknown = open_stays(log)
    for patient in {json.loads(value)["patient_id"] for _, value, _ in found.values()} - unknown:
        at = max(at for at, (key, _, _) in found.items() if key == patient.encode())
        left = [
            row
            for row, one in enumerate(recent)
            if one and one[0] == patient.encode() and b'"disch' in one[1]
        ]
        if at > max(left, default=len(log) - last - 1):
            assert (patient in shown) == (patient in present)
