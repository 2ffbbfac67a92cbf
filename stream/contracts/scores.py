"""The scores that consumers receive, as pydantic models."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from stream.contracts.events import Discreet


class Outbound(Discreet):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelIdentity(Outbound):
    name: str
    hash: str = Field(description="First 16 hexadecimal digits of the SHA-256 of the artifact's content.")


class ScoreState(Outbound):
    """How much the score rests on. A missing signal is never a low risk."""

    events: int = Field(ge=1, description="Events of this stay that the state has seen.")
    warm: bool = Field(
        description="False until the patient has enough events for a reliable score, by the model's "
        "validation."
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
