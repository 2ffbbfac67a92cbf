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
