"""Scenes on the shared broker, and the table of what was injected and found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.report import Report, write
from tests.chaos.scene import Scene

MakeScene = Callable[..., Scene]
REPORTS: list[Report] = []


@pytest.fixture
def make_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeScene]:
    """`make_scene(servers, ...)`: its workers end with the test, its report is in the table."""
    with ExitStack() as scenes:

        def make(servers: str, **options: object) -> Scene:
            report = Report(request.node.name)
            REPORTS.append(report)
            scene = Scene(servers, tmp_path, report, **options)  # type: ignore[arg-type]
            scenes.callback(scene.close)
            return scene

        yield make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REPORTS:
        terminalreporter.section("chaos")
        terminalreporter.write_line(write(REPORTS))
