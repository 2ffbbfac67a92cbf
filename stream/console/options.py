"""Settings as flags, and what every command does alike."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stream.seldom import Seldom
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
        def wrapped(**given: Any) -> None:
            flags = {name: given.pop(name) for name in names}
            command(settings=load(flags, given.pop("config")), **given)

        own = [
            p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"
        ]
        added = [_flag(name) for name in names]
        added.append(
            inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
        )
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        del wrapped.__wrapped__
        wrapped.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in own + added}
        return wrapped

    return decorate


def _flag(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    default = "none" if field.default is None else str(field.default)
    option = typer.Option(help=field.description, show_default=default, rich_help_panel="Settings")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def start_logging(level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level, format=form, handlers=[handler])
    logging.getLogger("kafka").setLevel(max(logging.getLogger().level, logging.WARNING))
