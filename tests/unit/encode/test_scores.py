from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.variables import INDEX, VITAL_SIGNS
from stream.columns.records import Outgoing
from stream.columns.scores import Assessment, Contributions, Scores
from stream.contracts.scores import RiskScore
from stream.encode.scores import MEMBERS, ScoreEncoder
from stream.state.changelog import TopicIds
from stream.state.names import Names
from tests.support.events import Event, columns

SIGNS = [sign.name for sign in VITAL_SIGNS]
HASH = "0123456789abcdef" * 4
AT, SCORED_AT = 27_000_000 * 60_000, 1_700_000_000_000
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.sampled_from(
    [
        '"',
        "\\",
        "\\u0041",
        "\x00",
        "\x1f\x7f",
        "%d",
        "{}",
        "é",
        "\u2028",
        "😀",
        " ",
        '","patient_id":"b',
        "</script>",
    ]
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    ["%", "%%d", "{name}", '"', "a/b"]
)
whole = st.integers(0, 2**53)


@st.composite
def assessed(draw: st.DrawFn) -> tuple[Scores, Assessment]:
    patients = draw(st.lists(ids, max_size=5))
    count = len(patients)

    def column(values: st.SearchStrategy[object], kind: type) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), kind)

    place = {one: draw(st.sampled_from(["", "", '"', "é", "icu 2"])) for one in ("encounter", "unit", "bed")}
    log = [
        Event(name, draw(st.integers(0, 2**20)), partition=draw(st.integers(0, 999)), **place)
        for name in patients
    ]
    events = columns(log, draw(whole))
    nothing = np.empty((count, 0), np.float32)
    scores = Scores(
        events,
        column(st.floats(0, 1, width=32), np.float32),
        column(st.integers(1, 2**40), np.int64),
        column(st.booleans(), np.bool_),
        column(st.booleans(), np.bool_),
        nothing,
        nothing,
        events.places,
    )
    assessment = Assessment(
        column(st.integers(0, 2 ** len(SIGNS) - 1), np.int64),
        column(st.integers(0, 20), np.int64),
        column(st.booleans(), np.bool_),
    )
    return scores, assessment


def encoder(
    source: str = "in",
    name: str = "gru-64",
    target: str = "death",
    warm_up: int = 10,
    texts: Mapping[int, str] | None = None,
) -> ScoreEncoder:
    return ScoreEncoder(
        "out",
        source=source,
        model_name=name,
        model_hash=HASH,
        target=target,
        signs=SIGNS,
        warm_up=warm_up,
        names=names_of(texts or {}),
    )


def names_of(texts: Mapping[int, str]) -> Names:
    known = Names()
    known.learn(texts)
    return known


def one(patient: str, encoder: ScoreEncoder) -> Outgoing:
    column = np.zeros(1, np.int64)
    nothing, places = np.empty((1, 0), np.float32), np.zeros((1, 3), np.uint64)
    scores = Scores(
        columns([Event(patient, 0)]),
        column.astype(np.float32),
        column + 1,
        column > 0,
        column > 0,
        nothing,
        nothing,
        places,
    )
    return encoder.encode(scores, Assessment(column, column, column > 0), SCORED_AT)


@given(assessed(), names, names, names, st.integers(1, 20))
def test_a_score_is_a_risk_score_and_holds_what_went_in(
    given_: tuple[Scores, Assessment], source: str, name: str, target: str, warm_up: int
) -> None:
    scores, assessment = given_
    outgoing = encoder(source, name, target, warm_up, scores.events.names).encode(
        scores, assessment, SCORED_AT
    )
    events = scores.events
    assert len(outgoing) == len(scores)
    assert outgoing.keys == events.patients
    assert (outgoing.topic, outgoing.partitions, outgoing.timestamps) == (
        "out", events.partitions, events.observed_at
    )  # fmt: skip
    for row, value in enumerate(outgoing.values):
        read = RiskScore.model_validate_json(value, strict=True)
        partition, offset = int(events.partitions[row]), int(events.offsets[row])
        assert read.model_dump(exclude={"risk", "contributors"}) == {
            "id": f"{source}/{partition}/{offset}/{HASH[:16]}",
            "patient_id": events.patients[row].decode(),
            **{
                member: events.names.get(int(key))
                for member, key in zip(MEMBERS, events.places[row], strict=True)
            },
            "observed_at": events.observed_at[row],
            "scored_at": SCORED_AT,
            "target": target,
            "model": {"name": name, "hash": HASH[:16]},
            "state": {
                "events": scores.counts[row],
                "warm": scores.counts[row] >= warm_up,
                "coverage": read.state.coverage,
                "late": scores.late[row],
                "closed": scores.closed[row],
                "stale": [sign for bit, sign in enumerate(SIGNS) if assessment.stale[row] >> bit & 1],
            },
            "news2": {"score": assessment.news2[row], "complete": assessment.complete[row]},
            "source": {"topic": source, "partition": partition, "offset": offset},
        }
        assert read.state.coverage == pytest.approx(1 - len(read.state.stale) / len(SIGNS), abs=0.005)
        assert abs(read.risk - float(scores.risk[row])) <= 5.1e-7
        assert json.loads(value) == json.loads(read.model_dump_json(exclude_none=True))


def test_contributors_are_told_in_words() -> None:
    column, nothing = np.zeros(2, np.int64), np.empty((2, 0), np.float32)
    places = np.zeros((2, 3), np.uint64)
    events = columns([Event("a", 0), Event("b", 0)])
    contributions = Contributions(
        np.array([1]),
        np.array([[INDEX["SaO2"], INDEX["MechVent"], INDEX["pH"]]]),
        np.array([[0.81, -0.2, 0.0]], np.float32),
        np.array([[84, 1, np.nan]], np.float32),
        np.array([[91, np.nan, np.nan]], np.float32),
        np.array([[40 / 60, 0, 0]], np.float32),
        np.array([[-1, 0, 0]], np.int8),
        np.array([[0, 12, 0]], np.float32),
    )
    scores = Scores(
        events,
        column.astype(np.float32),
        column + 1,
        column > 0,
        column > 0,
        nothing,
        nothing,
        places,
        contributions,
    )
    sent = encoder().encode(scores, Assessment(column, column, column > 0), SCORED_AT)
    plain, explained = (RiskScore.model_validate_json(value or b"", strict=True) for value in sent.values)
    assert plain.contributors is None
    assert explained.contributors is not None
    saturation, ventilated = explained.contributors
    assert (saturation.variable, saturation.value, saturation.unit) == ("SaO2", 84, "%")
    assert saturation.effect == pytest.approx(0.81)
    assert saturation.text == "oxygen saturation 84 %, down from 91 % 40 min before, lowest of the stay"
    assert saturation.age_seconds == 0
    assert (ventilated.text, ventilated.age_seconds) == (
        "mechanically ventilated 12 h ago; lowers the risk",
        43_200,
    )
    assert explained.source.offset == 1


@given(ids)
@example("p1")
def test_an_id_alone_in_its_batch_reads_back(patient: str) -> None:
    """A batch in which no id needs escapes is written in another way."""
    assert json.loads(one(patient, encoder()).values[0] or b"")["patient_id"] == patient


@given(st.lists(ids, min_size=2, max_size=2, unique=True))
def test_ids_of_scores_do_not_depend_on_the_patient(patients: list[str]) -> None:
    first, second = (json.loads(one(patient, encoder()).values[0] or b"") for patient in patients)
    assert first.pop("patient_id") != second.pop("patient_id")
    assert first == second


def test_scores_of_another_topic_of_that_name_have_other_ids() -> None:
    found = []
    for topic_id in ("", "T-6AFJnvS1uUeOPj4ZPtBw", "_dGeXSIdT92NOadxB86bCQ"):
        ids = TopicIds()
        made = ScoreEncoder(
            "out",
            source="in",
            ids=ids,
            model_name="m",
            model_hash=HASH,
            target="t",
            signs=SIGNS,
            warm_up=1,
            names=Names(),
        )
        ids.input = topic_id  # known only once the worker has connected
        (value,) = one("a", made).values
        assert value is not None
        found.append(json.loads(value)["id"])
    assert found == [f"in{log}/0/0/{HASH[:16]}" for log in ("", "@4fee8014", "@fdd19e5d")]
