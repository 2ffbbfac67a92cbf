from __future__ import annotations

from typer.testing import CliRunner

from stream.cli.main import application
from stream.errors import SettingsError


def test_one_application_cannot_follow_itself() -> None:
    done = CliRunner().invoke(application("rewarm"), ["rewarm", "--beside", "a", "--application-id", "a"])
    assert isinstance(done.exception, SettingsError)
    assert "a new model needs a new application_id" in str(done.exception)
