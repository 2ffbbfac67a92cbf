"""Settings in the environment: `VITALSTREAM_<NAME>`, or `VITALSTREAM_<NAME>_FILE` for the file of a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from stream.errors import SettingsError

PREFIX = "VITALSTREAM_"
NOT_SETTINGS = {
    "VITALSTREAM_CONFIG",
    "VITALSTREAM_DATA",
    "VITALSTREAM_TEST_BOOTSTRAP",
}
SERVICE_LINK = re.compile(
    r"\w+_SERVICE_HOST=[\da-fA-F.:]+"
    r"|\w+_SERVICE_PORT(_\w+)?=\d+"
    r"|\w+_PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://[\da-fA-F.:[\]]+:\d+"
    r"|\w+_PORT_\d+_(TCP|UDP|SCTP)_(PORT=\d+|PROTO=(tcp|udp|sctp)|ADDR=[\da-fA-F.:]+)",
    re.ASCII,
)
"""What Kubernetes puts into the environment of a container for each Service of its namespace. One that is
called `vitalstream-metrics` even uses the name of a setting: only its value shows what it is."""


class Environment(EnvSettingsSource):
    """Variables as pydantic-settings reads them, and what it has no rule for: a name that is no setting is an
    error, `<NAME>_FILE` names the file of a value, and a table is written as pairs instead of JSON.

    A variable that is empty is not given. Raises `SettingsError`, which names the variable, never its value.
    """

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str]) -> None:
        super().__init__(settings, env_prefix=PREFIX)
        given = {}
        for variable, text in environment.items():
            link = SERVICE_LINK.fullmatch(f"{variable}={text}")
            if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or link:
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name.removesuffix("_file") not in settings.model_fields:
                raise SettingsError(f"{variable}: there is no such setting")
            if text:
                given[variable.lower()] = text
        self.env_vars = given

    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool
    ) -> Any:
        variable = f"{PREFIX}{field_name.upper()}"
        if named := self.env_vars.get(f"{variable}_FILE".lower()):
            if value is not None:
                raise SettingsError(f"{variable}: given both as a value and as a file")
            value = _content(f"{variable}_FILE", Path(named))
        return super().prepare_field_value(field_name, field, value, value_is_complex)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: str) -> dict[str, str]:
        pairs = [pair.partition("=") for pair in value.split(",") if pair]
        if not all(name and separator for name, separator, _ in pairs):
            raise SettingsError(f"{PREFIX}{field_name.upper()}: wants name=value pairs, separated by commas")
        return {name.strip(): value.strip() for name, _, value in pairs}


def _content(variable: str, path: Path) -> str:
    try:
        return path.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):  # these hold the value of the variable, or what was read
        raise SettingsError(f"{variable}: the file that it names cannot be read") from None
