"""Every setting, read once at start: a TOML file, then the environment, then flags; the later wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stream.connection import Connection
from stream.environment import PREFIX, Environment
from stream.errors import SettingsError

SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "model" / "pretrained"


class Settings(BaseSettings):
    """Each is `VITALSTREAM_<NAME>` in the environment and `<name>` in the file; all but the secrets and
    `client_overrides` are flags, too, with dashes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    bootstrap_servers: str = Field("localhost:9092", description="host:port list of the Kafka cluster.")
    application_id: str = Field(
        "vitalstream",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Consumer group; prefix of the changelog.",
    )
    instance_id: str | None = Field(None, description="Stable name of this worker (static membership).")
    client: Literal["librdkafka", "kafka-python"] = Field("librdkafka", description="Kafka client library.")
    client_overrides: dict[str, SecretStr] = Field(
        {}, description="Further properties, in the client's own spelling."
    )

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="As in the Kafka documentation."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism."
    )
    sasl_username: str | None = Field(None, description="SASL user name.")
    sasl_password: SecretStr | None = Field(None, description="SASL password.")
    ssl_ca_location: Path | None = Field(None, description="CA certificates (PEM).")
    ssl_certificate_location: Path | None = Field(None, description="Client certificate (PEM).")
    ssl_key_location: Path | None = Field(None, description="Client key (PEM).")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client key.")

    observations_topic: str = Field("vitals.observations.v1", description="Input: PatientEvent.")
    scores_topic: str = Field("vitals.risk-scores.v1", description="Output: RiskScore.")
    alerts_topic: str = Field("vitals.alerts.v1", description="Output: Alert.")
    dead_letters_topic: str = Field(
        "vitals.dead-letters.v1", description="Output: refused records, unchanged."
    )

    model: Path = Field(SHIPPED_MODEL, description="Folder of the model artifact.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the cell steps.")
    threads: int = Field(1, ge=1, description="CPU threads of the cell.")
    warm_up_events: int | None = Field(
        None,
        ge=1,
        description="Events after which a score says `warm`; unset: what the model's own validation says.",
    )
    contributors: Literal["off", "alerts", "all"] = Field(
        "off",
        description="Scores that name what moved them most: none, those at the alert threshold, or all.",
    )

    max_batch: int = Field(4096, ge=1, le=1_000_000, description="Most events in a micro-batch.")
    max_wait: float = Field(0.005, ge=0, description="Seconds that the first event of a micro-batch waits.")
    processing_guarantee: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="As in Kafka Streams; the latter may score events again after a failure."
    )
    commit_interval: float = Field(
        0.1, gt=0, description="Seconds that an epoch lasts: then all is committed."
    )
    commit_events: int = Field(50_000, ge=1, description="Events after which an epoch ends earlier.")
    transaction_timeout: float = Field(
        10.0, ge=1, le=900, description="Seconds after which the broker aborts a dead worker's transaction."
    )
    on_gap: Literal["fail", "skip"] = Field(
        "fail", description="Where input or state is gone that was not scored yet: stop, or go on without."
    )
    misplaced_records: Literal["accept", "refuse"] = Field(
        "accept", description="What becomes of a record in another partition than its key's (murmur2)."
    )
    standby_replicas: Literal["none", "all"] = Field(
        "none", description="Whether a worker keeps the others' states in host memory, to take over at once."
    )
    expire_after: float = Field(
        259_200.0, gt=0, description="Seconds of event time after which a silent patient's state is dropped."
    )
    discharge_grace: float = Field(
        43_200.0,
        ge=0,
        description="Seconds of event time for which a discharged patient's state is kept.",
    )
    initial_resident_patients: int = Field(1024, ge=1, description="Slots allocated at start; doubles.")
    max_resident_patients: int = Field(1_000_000, ge=1, description="Most patients with state on the device.")

    max_event_bytes: int = Field(1_048_576, ge=1, description="Larger events are refused.")
    max_dead_letter_bytes: int = Field(
        2_000_000, ge=0, description="A larger refused record goes to the dead letters without its value."
    )
    max_future: float = Field(
        300.0,
        ge=0,
        le=3500,
        description="Seconds that `observed_at` may be ahead of the clock; Kafka itself rejects timestamps "
        "more than an hour ahead.",
    )
    max_past: float = Field(
        604_800.0,
        gt=0,
        description="Seconds that `observed_at` may be before the record's and the partition's stream time.",
    )

    metrics_port: int = Field(9464, ge=0, le=65_535, description="/metrics, /healthz, /readyz; 0: none.")
    metrics_host: str = Field("0.0.0.0", description="Address on which it listens.")
    health_timeout: float = Field(
        30.0, gt=0, description="Seconds without progress after which /healthz fails."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Form of the log; auto: text on a terminal, else JSON."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        if value == "":
            raise ValueError("is empty")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_resident_patients < self.max_batch:
            raise ValueError("max_resident_patients is smaller than max_batch")
        if self.commit_interval >= self.transaction_timeout:
            raise ValueError("commit_interval is not shorter than transaction_timeout")
        if self.initial_resident_patients > self.max_resident_patients:
            raise ValueError("initial_resident_patients is larger than max_resident_patients")
        if self.security_protocol.startswith("SASL") and not (self.sasl_mechanism and self.sasl_username):
            raise ValueError("security_protocol wants SASL, but sasl_mechanism or sasl_username is not set")
        topics = [name for name in type(self).model_fields if name.endswith("_topic")]
        for one, other in combinations(topics, 2):
            if getattr(self, one) == getattr(self, other):
                raise ValueError(f"{one} and {other} are the same topic")
        for layer in ("sasl", "ssl"):
            stated = [name for name in type(self).model_fields if name.startswith(f"{layer}_")]
            for name in stated:
                if getattr(self, name) and layer.upper() not in self.security_protocol.split("_"):
                    raise ValueError(f"{name} is set, but security_protocol does not use {layer.upper()}")
        return self

    @property
    def changelog_topic(self) -> str:
        return f"{self.application_id}-patient-state-changelog"

    def connection(self) -> Connection:
        """What the clients need, secrets in plain."""
        return Connection(
            bootstrap_servers=self.bootstrap_servers,
            client_id=self.instance_id or self.application_id,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.sasl_username,
            sasl_password=_plain(self.sasl_password),
            ssl_ca_location=_text(self.ssl_ca_location),
            ssl_certificate_location=_text(self.ssl_certificate_location),
            ssl_key_location=_text(self.ssl_key_location),
            ssl_key_password=_plain(self.ssl_key_password),
            overrides={name: value.get_secret_value() for name, value in self.client_overrides.items()},
        )


def load(
    flags: Mapping[str, Any] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Merge the TOML file, the environment and the flags (None: not given) into checked settings.

    The later wins as a whole: `client_overrides` of two sources are not mixed. `config` defaults to the file
    that `VITALSTREAM_CONFIG` names, if any. Raises `SettingsError`, which names the setting, never its value.
    """
    environment = os.environ if environment is None else environment
    if config is None and (named := environment.get("VITALSTREAM_CONFIG")):
        config = Path(named)
    merged = (_from_file(config) if config else {}) | Environment(Settings, environment)()
    merged |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None  # it holds the values


def _from_file(path: Path) -> dict[str, Any]:
    """`TomlConfigSettingsSource` passes over a file that is missing, and refuses a byte order mark."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"config file {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"config file {path}: {error}") from None  # it holds the whole file


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, fault["loc"]))
        reason = "there is no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
        reason = reason.removeprefix("Value error, ")
        lines.append(f"{name}: {reason}" if name else reason)
    return "; ".join(lines)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
