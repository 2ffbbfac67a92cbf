"""The alerts that consumers will receive, as a pydantic model."""

from __future__ import annotations

from typing import Literal

from stream.contracts.scores import Contributor, ModelIdentity, Outbound


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
