"""`vitalstream watch`: the ward as the score topic tells it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from stream.commands.feed import Tail, partitions
from stream.commands.options import KAFKA, takes_settings
from stream.commands.stopping import stop_on_signals
from stream.commands.view import PLAIN_EVERY_S, Screen, as_object, points
from stream.settings import Settings
from stream.web.board import Board
from stream.web.terminal import Status, table

REFRESH_S = 0.5
CATCH_UP_TIMEOUT_S = 30.0


@takes_settings(*KAFKA, "observations_topic", "scores_topic", "max_future", "expire_after")
def watch(
    settings: Settings,
    once: Annotated[bool, typer.Option("--once", help="Show what is there now, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, with --once; else one every few seconds.")
    ] = False,
    last: Annotated[
        int, typer.Option(min=1, help="Begin so many records before the end of each partition.")
    ] = 50_000,
    bucket: Annotated[
        float, typer.Option(min=0.1, help="Minutes of event time in one character of the trend.")
    ] = 5.0,
) -> None:
    """Show the patients by risk: trend, NEWS2, last vital signs, and what is no longer measured.

    Reads the score topic and, for the vital signs, the observations, outside of any consumer group: it
    changes nothing. Ctrl-C ends it. Give it the worker's --max-future and --expire-after.
    """
    board = Board(int(bucket * 60_000), int(settings.max_future * 1000), int(settings.expire_after * 1000))
    counts = {
        name: partitions(settings, name) for name in (settings.scores_topic, settings.observations_topic)
    }
    stop = stop_on_signals()
    with (
        closing(Tail(settings, settings.scores_topic, counts[settings.scores_topic], last=last)) as scores,
        closing(
            Tail(settings, settings.observations_topic, counts[settings.observations_topic], last=last)
        ) as events,
    ):
        if once:
            _catch_up(board, scores, events, stop)
            _print(board, as_json)
        else:
            _follow(board, scores, events, stop, as_json)


def _follow(board: Board, scores: Tail, events: Tail, stop: threading.Event, as_json: bool) -> None:
    told, seen = time.monotonic(), 0
    with Screen(Console(quiet=as_json, force_terminal=False if as_json else None)) as screen:
        while not stop.wait(REFRESH_S):
            seen += _take(board, scores, events)
            screen.show(board, Status("watch", [("scores", f"{seen:,}")]))
            if as_json and time.monotonic() - told >= PLAIN_EVERY_S:
                told = time.monotonic()
                _print(board, as_json)


def _catch_up(board: Board, scores: Tail, events: Tail, stop: threading.Event) -> None:
    until = time.monotonic() + CATCH_UP_TIMEOUT_S
    while not stop.wait(0.02) and time.monotonic() < until:
        done = scores.caught_up.is_set() and events.caught_up.is_set()
        _take(board, scores, events)
        if done:
            return


def _take(board: Board, scores: Tail, events: Tail) -> int:
    """The scores that were there at the start come first: the events then find a clock that goes."""
    taken, going = 0, scores.caught_up.is_set()
    for _, records in scores.drain():
        board.score(records)
        taken += len(records)
    if going:
        for _, records in events.drain():
            board.observe(records)
    return taken


def _print(board: Board, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(as_object(board)))
        return
    console = Console()
    console.print(table(board.beds(), board.now_ms, points, console.width))
