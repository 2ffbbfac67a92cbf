"""The public JSON contracts, as pydantic models: what producers send and what consumers receive.

The JSON Schemas and the AsyncAPI document under `deploy/schemas/` are generated from here. In the hot
path the same shapes are read and written as columns; these models are the reference, and they give
the reason when an event is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

PatientId = Annotated[
    str, Field(min_length=1, max_length=256, description="Also the record's key, in UTF-8.")
]
EARLIEST_MS = 100_000_000_000
"""March 1973: a smaller number is a time in seconds, the classic mistake of a new producer."""
LATEST_MS = 253_402_300_799_999
EpochMillis = Annotated[
    int,
    Field(strict=True, ge=EARLIEST_MS, le=LATEST_MS, description="Milliseconds since the Unix epoch, UTC."),
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=256)]
UnitType = Literal["coronary_care", "cardiac_surgery", "medical", "surgical"]


class Discreet(BaseModel):
    """Shows none of its fields: they are of a patient."""

    def __repr_args__(self) -> tuple[()]:
        return ()


class Incoming(Discreet):
    """Fields that are not named here are ignored, so that producers can add some before consumers know."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    patient_id: PatientId
    observed_at: EpochMillis
    event_id: Text | None = Field(default=None, description="Set by producers that retry.")
    encounter_id: Text | None = Field(default=None, description="The stay; a patient outlives it.")
    unit: Text | None = Field(default=None, description="Ward or care unit.")
    bed: Text | None = None


class Observation(Incoming):
    """What was measured of one patient at one moment."""

    type: Literal["observation"] = "observation"
    values: dict[str, Number | None] = Field(
        description="Variable name → number, in the variable's unit; null is not measured. Any other value "
        "is left out and counted."
    )


class Static(Discreet):
    """What does not change during a stay. Each is optional; what cannot be read is left out and counted."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    age: Number | None = Field(default=None, description="Years.")
    sex: Literal["female", "male"] | None = None
    height: Number | None = Field(default=None, description="cm.")
    weight: Number | None = Field(default=None, description="kg.")
    unit_type: UnitType | None = None


class Admission(Incoming):
    """Begins a stay, or the next one; if the stay has this `encounter_id` already, it is an update."""

    type: Literal["admission"]
    static: Static = Static()


class Transfer(Incoming):
    """Moves the patient to another `unit` or `bed`: one of them at least is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}} for name in ("unit", "bed")
            ]
        }
    )

    type: Literal["transfer"]

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not (self.unit or self.bed):
            raise PydanticCustomError("missing", "unit or bed is missing")
        return self


class Discharge(Incoming):
    """Ends the stay. Its state is kept, closed, for `discharge_grace`, and then forgotten."""

    type: Literal["discharge"]
    outcome: Text | None = None
    cancel: bool = Field(
        default=False, strict=True, description="The discharge was a mistake: the stay goes on."
    )


def _kind(event: object) -> str | None:
    kind = event.get("type", "observation") if isinstance(event, dict) else getattr(event, "type", None)
    return kind if isinstance(kind, str) else None


PatientEvent = Annotated[
    Annotated[Observation, Tag("observation")]
    | Annotated[Admission, Tag("admission")]
    | Annotated[Transfer, Tag("transfer")]
    | Annotated[Discharge, Tag("discharge")],
    Discriminator(_kind),
]
PATIENT_EVENT: TypeAdapter[Observation | Admission | Transfer | Discharge] = TypeAdapter(PatientEvent)


class Outbound(Discreet):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelIdentity(Outbound):
    name: str
    hash: str = Field(description="First 16 hexadecimal digits of the SHA-256 of the artifact's content.")


class ScoreState(Outbound):
    """How much the score rests on. A missing signal is never a low risk."""

    events: int = Field(ge=1, description="Events of this stay that the state has seen.")
    warm: bool = Field(
        description="False until as many events were seen as the model, by its validation, needs."
    )
    coverage: float = Field(
        ge=0, le=1, description="Share of the vital signs that are not stale. It is not a probability."
    )
    late: bool = Field(description="The event is older than one that was already applied.")
    closed: bool = Field(description="The patient was discharged: the stay that the event is of has ended.")
    stale: list[str] = Field(description="Vital signs not measured for longer than is safe, or never.")


class News2(Outbound):
    """National Early Warning Score 2 (Royal College of Physicians, 2017)."""

    score: int = Field(ge=0, le=20)
    complete: bool = Field(description="False where a parameter is missing or stale; it then counts 0.")


class Coordinates(Outbound):
    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class Contributor(Outbound):
    """A variable that moved the score. Effects of all variables add up to what knowing them changes."""

    variable: str
    value: float = Field(description="The last measured one.")
    unit: str
    effect: float = Field(description="Change of the risk's log-odds; below 0, it lowers the risk.")
    age_seconds: int = Field(ge=0, description="From its measurement to `observed_at`.")
    text: str = Field(
        description="In words: value, its age, change since the previous measurement, extreme of the stay."
    )


class RiskScore(Outbound):
    """One for each accepted observation or admission. The record's timestamp is the broker's, if the topic is
    one of `topics create`'s; else it is `observed_at`."""

    id: str = Field(
        description="Deterministic: source topic and its id, partition, offset, model. Dedupe on it."
    )
    patient_id: str
    encounter_id: str | None = None
    unit: str | None = Field(default=None, description="Ward or care unit, the last that an event named.")
    bed: str | None = None
    observed_at: int
    scored_at: int = Field(description="Milliseconds since the Unix epoch, UTC.")
    risk: float = Field(ge=0, le=1, description="Calibrated probability of `target`.")
    target: str
    model: ModelIdentity
    state: ScoreState
    news2: News2
    contributors: list[Contributor] | None = None
    source: Coordinates


class Alert(Outbound):
    id: str
    patient_id: str
    kind: Literal["risk", "news2", "stale"]
    phase: Literal["raised", "updated", "cleared"]
    severity: Literal["low", "medium", "high"]
    raised_at: int
    observed_at: int
    risk: float | None
    reason: str
    contributors: list[Contributor] | None = None
    model: ModelIdentity
