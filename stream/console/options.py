"""Settings as flags, and what every command does alike."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from stream.settings import Settings, load

KAFKA = (
    "bootstrap_servers",
    "application_id",
    "client",
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "ssl_ca_location",
    "ssl_certificate_location",
    "ssl_key_location",
)
"""Settings that every command which talks to Kafka takes as flags. Passwords come from the environment,
files or the config file only: a command line is seen by others."""
SECRETS = ("sasl_password", "ssl_key_password")
NOT_FLAGS = (*SECRETS, "client_overrides")
ALL = tuple(name for name in Settings.model_fields if name not in NOT_FLAGS)

Config = Annotated[
    Path | None, typer.Option(help="TOML file of settings.", show_default="$VITALSTREAM_CONFIG")
]
Json = Annotated[bool, typer.Option("--json", help="Figures as one JSON object.")]


def takes_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each of these settings and `--config`; it receives them, merged with the
    environment and checked, as its argument `settings`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(config: Path | None, **given: Any) -> None:
            flags = {name: given.pop(name) for name in names}
            command(settings=load(flags, config), **given)

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "settings"]
        flags = [FLAGS[name] for name in names]
        wrapped.__signature__ = signature.replace(parameters=[*own, CONFIG, *flags])  # type: ignore[attr-defined]
        return wrapped

    return decorate


def _flag(setting: inspect.Parameter) -> inspect.Parameter:
    """The parameter of `Settings` as that of a command. Typer shows its type, choices and range, and passes
    the text on as it is: `Settings` checks it, like a variable's."""
    field = Settings.model_fields[setting.name]
    option = typer.Option(
        parser=str,
        min=_bound(field, "ge"),
        max=_bound(field, "le"),
        help=field.description,
        show_default="none" if field.default is None else str(field.default),
        rich_help_panel="Settings",
    )
    return setting.replace(default=None, annotation=Annotated[field.annotation, option])


def _bound(field: FieldInfo, name: str) -> float | None:
    return next((getattr(bound, name) for bound in field.metadata if hasattr(bound, name)), None)


FLAGS = {name: _flag(inspect.signature(Settings).parameters[name]) for name in ALL}
CONFIG = (
    inspect.signature(load)
    .parameters["config"]
    .replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Config)
)
