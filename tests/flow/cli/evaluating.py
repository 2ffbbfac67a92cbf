"""Scores, outcomes and the command, for the tests of `evaluate`."""

from __future__ import annotations

import json
from itertools import count

import typer
from typer.testing import CliRunner

from stream.cli.evaluate import evaluate
from tests.support.scores import risk_score

HOUR_MS = 3_600_000
OFFSETS = count()

app = typer.Typer()
app.command()(evaluate)


def score(patient, hours, risk, model="f" * 16, warm=True):
    at = 1_700_000_000_000 + int(hours * HOUR_MS)
    made = risk_score(patient, at, risk, id=f"t/0/{next(OFFSETS)}/{model}", model=model, warm=warm)
    return made.model_dump_json().encode()


SCORES = [
    *(score(str(number), 0, 0.5) for number in range(1, 5)),
    *(score(str(number), 5.5, 0.1 * (5 - number)) for number in range(1, 5)),
    *(score(str(number), 40, 0.1 * number) for number in range(1, 5)),
    score("somebody", 0, 0.3),
]


def run(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
