from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from stream.console.options import ALL, takes_settings
from stream.errors import SettingsError
from stream.settings import Settings


@takes_settings(*ALL)
def command(settings: Settings, patients: int = 3) -> None:
    typer.echo(f"{settings.max_batch} {settings.commit_interval} {settings.client} {patients}")


app = typer.Typer()
app.command()(command)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("VITALSTREAM_CONFIG", raising=False)


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("--client", "<librdkafka|kafka-python>"),
        ("--sasl-mechanism", "<PLAIN|SCRAM-SHA-256|SCRAM-SHA-512>"),
        ("--max-batch", "<int range> [1<=x<=1000000]"),
        ("--warm-up-events", "<int range> [x>=1]"),
        ("--commit-interval", "<float>"),
        ("--ssl-ca-location", "<Path>"),
        ("--bootstrap-servers", "<str>"),
        ("--patients", "<int>"),
    ],
)
def test_a_flag_shows_its_type_choices_and_range(flag: str, shown: str) -> None:
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    (line,) = (line for line in lines if f" {flag} " in line)
    assert shown in line


def test_the_command_receives_what_flags_and_environment_say() -> None:
    given = ["--max-batch", "7", "--client", "kafka-python", "--patients", "5"]
    ended = CliRunner().invoke(app, given, env={"VITALSTREAM_COMMIT_INTERVAL": "0.5"})
    assert ended.stdout == "7 0.5 kafka-python 5\n"


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--max-batch", "4711.5"),
        ("--max-batch", "1000001"),
        ("--client", "Librdkafka"),
        ("--commit-interval", "often"),
        ("--model", ""),
    ],
)
def test_a_wrong_flag_is_named_without_its_value(flag: str, text: str) -> None:
    ended = CliRunner().invoke(app, [flag, text])
    assert isinstance(ended.exception, SettingsError)
    name, _, reason = str(ended.exception).partition(": ")
    assert name == flag.removeprefix("--").replace("-", "_")
    assert not text or text not in reason
