"""The command line without a broker: help, settings, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stream.cli.main import COMMANDS, application
from stream.settings import Settings
from tests.flow.cli.conftest import Vitalstream

SECRET = "correct-horse-battery-staple"
NOWHERE = ("--bootstrap-servers", "localhost:1")
SASL = {
    "VITALSTREAM_SECURITY_PROTOCOL": "SASL_SSL",
    "VITALSTREAM_SASL_MECHANISM": "PLAIN",
    "VITALSTREAM_SASL_USERNAME": "worker",
    "VITALSTREAM_SASL_PASSWORD": SECRET,
}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize(
    "command", list(commands(typer.main.get_command(application(*COMMANDS)))), ids=" ".join
)
def test_every_command_explains_itself(vitalstream: Vitalstream, command: tuple[str, ...]) -> None:
    ended = vitalstream(*command, "--help")
    assert ended.code == 0
    assert " ".join(("vitalstream", *command)) in ended.out


def test_the_worker_takes_every_setting_that_is_no_secret_as_a_flag(vitalstream: Vitalstream) -> None:
    flags = vitalstream("run", "--help").out
    for name in Settings.model_fields:
        shown = f"--{name.replace('_', '-')} " in flags
        assert shown == (name not in ("sasl_password", "ssl_key_password", "client_overrides")), name


def test_the_settings_in_force_are_shown_without_secrets(vitalstream: Vitalstream, tmp_path: Path) -> None:
    config = tmp_path / "vitalstream.toml"
    config.write_text(f'max_batch = 7\nthreads = 2\n[client_overrides]\n"ssl.key.pem" = "{SECRET}"')
    ended = vitalstream(
        "run", "--print-config", "--config", str(config), "--threads", "3", VITALSTREAM_MAX_BATCH="8", **SASL
    )
    shown = json.loads(ended.out)
    assert ended.code == 0
    assert shown.keys() == Settings.model_fields.keys()
    assert (shown["max_batch"], shown["threads"], shown["sasl_username"]) == (8, 3, "worker")
    assert SECRET not in ended.out


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("--max-batch", "0"), {}, "max_batch"),
        (("--max-bach", "7"), {}, "--max-bach"),
        (("--device", SECRET), {}, "device"),
        (("--until-idle", "-1"), {}, "--until-idle"),
        ((), {"VITALSTREAM_MAX_BACH": "7"}, "VITALSTREAM_MAX_BACH"),
        ((), {"VITALSTREAM_SASL_PASSWORD": SECRET}, "sasl_password"),
        (("--config", "/nowhere.toml"), {}, "/nowhere.toml"),
        (
            ("--client", "kafka-python"),
            {"VITALSTREAM_CLIENT_OVERRIDES": f"no.such.property={SECRET}"},
            "no.such",
        ),
        ((), {"VITALSTREAM_CLIENT_OVERRIDES": f"no.such.property={SECRET}"}, "no.such"),
    ],
)
def test_a_wrong_setting_is_exit_code_2_and_named(
    vitalstream: Vitalstream, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    ended = vitalstream("run", *NOWHERE, *arguments, **environment)
    assert ended.code == 2
    assert named in ended.err
    assert SECRET not in ended.err
    assert ended.out == ""


def test_a_model_that_cannot_be_loaded_is_exit_code_4(vitalstream: Vitalstream, tmp_path: Path) -> None:
    ended = vitalstream("run", *NOWHERE, "--model", str(tmp_path))
    assert ended.code == 4
    assert ended.err.startswith("vitalstream: ")
    assert str(tmp_path) in ended.err


def as_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VITALSTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", [("topics", "check"), ("doctor",)], ids=" ".join)
def test_without_a_broker_it_is_exit_code_3(command: tuple[str, ...]) -> None:
    impatient = {"VITALSTREAM_CLIENT_OVERRIDES": "bootstrap_timeout_ms=300"}
    ended = as_process(*command, *NOWHERE, "--client", "kafka-python", **impatient)
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr


def test_as_a_process_it_ends_with_one_line_and_its_code(tmp_path: Path) -> None:
    ended = as_process("run", *NOWHERE, "--model", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (4, "")
    assert len(ended.stderr.splitlines()) == 1
