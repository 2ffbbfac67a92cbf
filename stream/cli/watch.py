"""`vitalstream watch`: the ward as scores, events and dead letters show it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from stream.console.options import KAFKA, takes_settings
from stream.console.stopping import stop_on_signals
from stream.kafka.tail import Tail, partitions
from stream.settings import Settings
from stream.ward.board import Board
from stream.ward.screen import PLAIN_EVERY_S, Screen, as_object, points
from stream.ward.terminal import Status, table

REFRESH_S = 0.5
CATCH_UP_TIMEOUT_S = 30.0


class Tails(NamedTuple):
    """The tails of the topics that the board reads."""

    scores: Tail
    events: Tail
    letters: Tail

    def caught_up(self) -> bool:
        return all(tail.caught_up.is_set() for tail in self)


@takes_settings(
    *KAFKA,
    "observations_topic",
    "scores_topic",
    "dead_letters_topic",
    "max_future",
    "expire_after",
    "discharge_grace",
)
def watch(
    settings: Settings,
    once: Annotated[bool, typer.Option("--once", help="Show the ward as it is now, and exit.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object every few seconds; with --once, print one.")
    ] = False,
    last: Annotated[
        int, typer.Option(min=1, help="Begin this many records before the end of each partition.")
    ] = 50_000,
    bucket: Annotated[
        float, typer.Option(min=0.1, help="Minutes of event time in one character of the trend.")
    ] = 5.0,
) -> None:
    """Show the patients by risk: trend, NEWS2, last vital signs, and what is no longer measured.

    Reads the scores, the events and, to learn which of these the worker refused, the dead letters. It belongs
    to no consumer group and changes nothing. Ctrl-C ends it. Give it the worker's --max-future,
    --expire-after and --discharge-grace.
    """
    board = Board(
        int(bucket * 60_000),
        int(settings.max_future * 1000),
        int(settings.expire_after * 1000),
        int(settings.discharge_grace * 1000),
        settings.observations_topic,
    )
    topics = settings.scores_topic, settings.observations_topic, settings.dead_letters_topic
    counts = {topic: partitions(settings, topic) for topic in topics}
    stop = stop_on_signals()
    with ExitStack() as stack:
        tails = Tails(*(stack.enter_context(closing(tail)) for tail in _opened(settings, counts, last)))
        if once:
            _catch_up(board, tails, stop)
            _print(board, as_json)
        else:
            _follow(board, tails, stop, as_json)


def _opened(settings: Settings, counts: dict[str, int], last: int) -> Iterator[Tail]:
    """counts: of the partitions of each topic."""
    for topic, count in counts.items():
        yield Tail(settings, topic, count, last=last, with_headers=topic == settings.dead_letters_topic)


def _follow(board: Board, tails: Tails, stop: threading.Event, as_json: bool) -> None:
    printed, seen = time.monotonic(), 0
    with Screen(Console(quiet=as_json, force_terminal=False if as_json else None)) as screen:
        while not stop.wait(REFRESH_S):
            seen += _take(board, tails)
            screen.show(board, Status("watch", [("scores", f"{seen:,}")]))
            if as_json and time.monotonic() - printed >= PLAIN_EVERY_S:
                printed = time.monotonic()
                _print(board, as_json)


def _catch_up(board: Board, tails: Tails, stop: threading.Event) -> None:
    until = time.monotonic() + CATCH_UP_TIMEOUT_S
    while not stop.wait(0.02) and time.monotonic() < until:
        done = tails.caught_up()
        _take(board, tails)
        if done:
            return


def _take(board: Board, tails: Tails) -> int:
    """The scores and dead letters that were there at the start come first: the events then find a clock that
    goes, and those that were refused are known."""
    taken, going = 0, tails.scores.caught_up.is_set() and tails.letters.caught_up.is_set()
    for _, records in tails.scores.drain():
        board.score(records)
        taken += len(records)
    _refuse(board, tails.letters)
    if going:
        for _, records in tails.events.drain():
            board.observe(records)
        _refuse(board, tails.letters)
    return taken


def _refuse(board: Board, letters: Tail) -> None:
    for _, records in letters.drain():
        board.refuse(records)


def _print(board: Board, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(as_object(board)))
        return
    console = Console()
    console.print(table(board.beds(), board.now_ms, points, console.width))
