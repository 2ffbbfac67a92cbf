"""The generated schemas and the AsyncAPI document: up to date, and saying what the contracts say."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from stream.columns.events import Refused
from stream.columns.records import Records
from stream.contracts.alerts import Alert
from stream.contracts.events import PATIENT_EVENT
from stream.contracts.scores import RiskScore
from stream.encode import dead_letters
from stream.metrics import STAGES
from stream.settings import Settings
from tools.schemas import CONTRACTS, FOLDER, render

AT = 1_700_000_000_000
EVENTS: list[dict[str, Any]] = [
    {"patient_id": "p1", "observed_at": AT, "values": {"HR": 80, "SaO2": 97.5}},
    {
        "type": "observation",
        "patient_id": "p1",
        "observed_at": 100_000_000_000,
        "values": {},
        "event_id": "e1",
        "unit": "icu-2",
        "added_later": [1],
    },
    {
        "type": "admission",
        "patient_id": "p1",
        "observed_at": AT,
        "static": {"age": 63, "sex": "female"},
    },
    {
        "type": "admission",
        "patient_id": "p1",
        "observed_at": AT,
        "static": {"unit_type": "surgical"},
    },
    {"type": "admission", "patient_id": "p1", "observed_at": AT},
    {
        "type": "admission",
        "patient_id": "p1",
        "observed_at": AT,
        "encounter_id": "v1",
        "unit": "icu-2",
        "bed": "7",
    },
    {"patient_id": "p1", "observed_at": AT, "values": {"HR": 0, "SaO2": None, "Mood": None}, "bed": None},
    {"type": "transfer", "patient_id": "p1", "observed_at": AT, "unit": "icu-2", "bed": "7"},
    {"type": "discharge", "patient_id": "p1", "observed_at": 1_700_000_000_001, "outcome": "home"},
    {"type": "discharge", "patient_id": "p1", "observed_at": AT, "encounter_id": "v1", "cancel": True},
]
NOT_EVENTS: list[Any] = [
    {},
    [],
    "p1",
    {"patient_id": "p1", "observed_at": AT},
    {"patient_id": "", "observed_at": AT, "values": {}},
    {"patient_id": "p1", "observed_at": -1, "values": {}},
    {"patient_id": "p1", "observed_at": 1_700_000_000, "values": {}},
    {"patient_id": "p1", "observed_at": 1.5, "values": {}},
    {"patient_id": "p1", "observed_at": "1", "values": {}},
    {"patient_id": "p1", "observed_at": AT, "values": {"HR": "80"}},
    {"patient_id": "p1", "observed_at": AT, "values": None},
    {"patient_id": "p1", "observed_at": AT, "values": {}, "bed": 7},
    {"type": "transfer", "patient_id": "p1", "observed_at": AT, "bed": "7", "encounter_id": 1},
    {"type": "transfer", "patient_id": "p1", "observed_at": AT, "encounter_id": "v1"},
    {"type": "transfer", "patient_id": "p1", "observed_at": AT, "unit": None, "bed": None},
    {"type": "move", "patient_id": "p1", "observed_at": AT, "values": {}},
    {"type": "discharge", "patient_id": "p1", "observed_at": AT, "cancel": "yes"},
    {"type": "discharge", "patient_id": "p1", "observed_at": AT, "cancel": None},
    {"type": "admission", "patient_id": "p1", "observed_at": AT, "static": {"sex": "f"}},
    {"type": "admission", "patient_id": 1, "observed_at": AT},
    {"type": "discharge", "observed_at": 1_700_000_000_001},
]
SCORE: dict[str, Any] = {
    "id": "vitals.observations.v1/0/7/0123456789ab",
    "patient_id": "p1",
    "encounter_id": "v1",
    "unit": "icu-2",
    "bed": None,
    "observed_at": AT,
    "scored_at": 1_700_000_000_020,
    "risk": 0.0123,
    "target": "in_hospital_death",
    "model": {"name": "gru-64", "hash": "ab" * 32},
    "state": {
        "events": 12,
        "warm": True,
        "coverage": 0.83,
        "late": False,
        "closed": True,
        "stale": ["RespRate"],
    },
    "news2": {"score": 3, "complete": False},
    "source": {"topic": "vitals.observations.v1", "partition": 0, "offset": 7},
}
ALERT: dict[str, Any] = {
    "id": "a1",
    "patient_id": "p1",
    "kind": "risk",
    "phase": "raised",
    "severity": "high",
    "raised_at": 1,
    "observed_at": AT,
    "risk": 0.6,
    "reason": "risk above 0.5",
    "model": {"name": "gru-64", "hash": "ab" * 32},
}


def validator(file: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / file).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


EVENT, RISK_SCORE = validator("patient-event.schema.json"), validator("risk-score.schema.json")


def test_files_are_what_the_models_generate() -> None:
    shipped = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert shipped == render(), "run `python -m tools.schemas`"


@pytest.mark.parametrize("event", EVENTS)
def test_schema_takes_what_the_contract_takes(event: dict[str, Any]) -> None:
    EVENT.validate(event)
    PATIENT_EVENT.validate_python(event)


@pytest.mark.parametrize("event", NOT_EVENTS)
def test_schema_refuses_what_the_contract_refuses(event: Any) -> None:
    assert not EVENT.is_valid(event)
    with pytest.raises(ValidationError):
        PATIENT_EVENT.validate_python(event)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats(-1, 1e3)
    | st.sampled_from(["", "p1", "male"])
)
FIELDS = ("type", "patient_id", "observed_at", "values", "static", "event_id")
FIELDS += ("encounter_id", "unit", "bed", "outcome", "cancel")


@given(
    st.sampled_from(EVENTS),
    st.sampled_from(FIELDS),
    SCALARS | st.dictionaries(st.sampled_from(["HR", "sex", "age", "other"]), SCALARS, max_size=3),
)
def test_schema_and_contract_agree_on_changed_events(event: dict[str, Any], field: str, value: Any) -> None:
    assume(not isinstance(value, float) or not value.is_integer())  # to JSON Schema 1.0 is an integer
    changed = event | {field: value}
    try:
        PATIENT_EVENT.validate_json(json.dumps(changed))
    except ValidationError:
        accepted = False
    else:
        accepted = True
    assert EVENT.is_valid(changed) == accepted


def test_outputs_match_their_schemas() -> None:
    RISK_SCORE.validate(json.loads(RiskScore.model_validate(SCORE).model_dump_json()))
    RISK_SCORE.validate(SCORE)
    validator("alert.schema.json").validate(json.loads(Alert.model_validate(ALERT).model_dump_json()))


@pytest.mark.parametrize("name", ["encounter_id", "unit", "bed"])
def test_a_score_may_know_no_place(name: str) -> None:
    RISK_SCORE.validate({key: value for key, value in SCORE.items() if key != name})


@pytest.mark.parametrize(
    "change", [{"risk": 1.5}, {"risk": "high"}, {"extra": 1}, {"source": None}, {"unit": 2}]
)
def test_schema_refuses_other_scores(change: dict[str, Any]) -> None:
    assert not RISK_SCORE.is_valid(SCORE | change)


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
    return document


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for child in node.values() for found in references(child)]


def test_every_reference_of_the_document_resolves() -> None:
    document = asyncapi()
    for reference in references(document):
        file, _, path = reference.partition("#")
        if file:
            assert (FOLDER / file).is_file()
            continue
        node = document
        for name in path.strip("/").split("/"):
            node = node[name]


def test_channels_are_the_default_topics() -> None:
    channels = asyncapi()["channels"]
    found = {channel["address"]: list(channel["messages"]) for channel in channels.values()}
    settings = Settings()
    assert found == {
        settings.observations_topic: ["PatientEvent"],
        settings.scores_topic: ["RiskScore"],
        settings.alerts_topic: ["Alert"],
        settings.dead_letters_topic: ["DeadLetter"],
    }
    assert set(CONTRACTS) < {message for messages in found.values() for message in messages}


def test_dead_letter_headers_are_described() -> None:
    records = Records(
        "in", [b"{"], [b"p1"], np.zeros(1, np.int32), np.ones(1, np.int64), np.ones(1, np.int64)
    )
    refusals = [Refused(records, [0], [code], stage) for stage, codes in STAGES.items() for code in codes]
    headers = Draft202012Validator(asyncapi()["components"]["messages"]["DeadLetter"]["headers"])
    written: set[str] = set()
    for refused, max_bytes in product(refusals, (0, 100)):
        (letter,) = dead_letters.encode(refused, "out", 5, max_bytes).headers or ()
        texts = {name: value.decode() for name, value in letter}
        headers.validate(texts)
        written |= texts.keys()
    assert written == set(headers.schema["properties"])
