"""Every command that README and docs show is one that the program takes: those that need nothing are run, the
others are parsed by the parser that they would meet, and their block says what they need."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.main import get_command

from stream.cli.main import COMMANDS, application
from stream.errors import SettingsError
from stream.settings import Settings, load
from tests.unit.test_docs import PAGES, ROOT

BLOCK = re.compile(r"(?:<!-- needs: ([^\n]+) -->\n)?^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:vitalstream|make|python|pytest|torchrun|deploy/kafka/local) [^`]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
RUNS_ALONE = {"--help", "--version", "--print-config"}
NO_SETTINGS = {"CONFIG", "DATA", "FAILPOINT"}
"""Variables VITALSTREAM_… that something else than the settings reads."""
NOT_SHELL = {"json", "yaml", "text"}
CLI = get_command(application(*COMMANDS))
UsageError = typer.BadParameter.__base__ or typer.BadParameter
"""Typer has it in a place of its own."""


class Shown(NamedTuple):
    """A command on a page. needs: what its block is marked with; None if it is not."""

    words: list[str]
    needs: str | None

    @property
    def program(self) -> str:
        return Path(self.words[0]).name

    def __str__(self) -> str:
        return " ".join(self.words)


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line of shell, without comments and variables set before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token in ("&&", "||", "|", ";"):
            if words:
                yield words
            words = []
        elif words or not ASSIGNMENT.match(token):
            words.append(token)


def in_blocks(text: str) -> Iterator[Shown]:
    for needs, block in BLOCK.findall(text):
        for line in re.findall(r"^\$ (.+)$", block.replace("\\\n", " "), re.MULTILINE):
            for words in simple_commands(line):
                yield Shown(words, needs or None)


def in_sentences(text: str) -> Iterator[Shown]:
    """Those in inline code; what a sentence leaves out may be missing."""
    for code in INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        for words in simple_commands(code):
            yield Shown([word for word in words if word != "…"], "what the sentence says")


BLOCKS = [shown for page in PAGES for shown in in_blocks(page.read_text("utf-8"))]
SENTENCES = [shown for page in PAGES for shown in in_sentences(page.read_text("utf-8"))]


def command_of(words: Sequence[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after its name."""
    command, rest = CLI, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command, rest


def takes_flags(words: Sequence[str]) -> None:
    command, rest = command_of(words)
    known = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("--")} <= known, words


def takes_all(words: Sequence[str]) -> None:
    """The command's own parser takes the words, and the settings take the values."""
    command, rest = command_of(words)
    context = command.make_context(words[0], rest)
    given = {name: value for name, value in context.params.items() if name in Settings.model_fields}
    load(given, None)


def takes_module(words: Sequence[str]) -> None:
    """The module is there; what follows a flag of its own is looked for in its help."""
    module, *rest = words
    assert importlib.util.find_spec(module), module
    if flags := {word for word in rest if word.startswith("--")}:
        shown = run(sys.executable, "-m", module, "--help")
        assert all(flag in shown for flag in flags), words


def takes_tests(words: Sequence[str]) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    markers = {marker.split(":")[0] for marker in config["tool"]["pytest"]["ini_options"]["markers"]}
    for before, word in zip(("", *words), words, strict=False):
        known = word in markers if before == "-m" else word.startswith("-") or (ROOT / word).exists()
        assert known, word


def run(*words: str) -> str:
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def check(shown: Shown, *, whole: bool) -> None:
    """whole: nothing that the command requires is left out."""
    match shown.program, shown.words[1:]:
        case "vitalstream", rest:
            (takes_all if whole and not RUNS_ALONE & {*rest} else takes_flags)(rest)
        case "torchrun", rest:
            takes_flags(rest[rest.index("stream") + 1 :])
        case "python", ["-m", "tests.support.armed", *rest]:
            takes_all(rest)
        case "python", ["-m", *rest]:
            takes_module(rest)
        case "pytest", rest:
            takes_tests(rest)
        case "make", rest:
            variables = {word.partition("=")[0] for word in rest if "=" in word}
            assert all(f"{name} ?=" in (ROOT / "Makefile").read_text() for name in variables)
            run("make", "--dry-run", *rest)
        case "local", rest:
            run(sys.executable, "deploy/kafka/local", *rest, "--help")
        case program, _:
            assert shown.needs, f"{program} is not vitalstream's: its block has to say what it needs"


def stands_alone(shown: Shown) -> bool:
    return shown.program == "make" or bool(RUNS_ALONE & {*shown.words})


@pytest.mark.parametrize("shown", BLOCKS, ids=str)
def test_a_command_in_a_block_is_taken_as_it_stands(shown: Shown) -> None:
    check(shown, whole=True)


@pytest.mark.parametrize("shown", SENTENCES, ids=str)
def test_a_command_in_a_sentence_has_flags_that_exist(shown: Shown) -> None:
    check(shown, whole=False)


def test_a_block_is_marked_with_what_a_test_does_not_have() -> None:
    assert [str(shown) for shown in BLOCKS if not shown.needs and not stands_alone(shown)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_shell_is_a_console(page: Path) -> None:
    text = page.read_text("utf-8")
    languages = set(re.findall(r"^```(.*)$", text, re.MULTILINE))
    assert languages <= NOT_SHELL | {"console", ""}
    assert len(re.findall(r"^```console$", text, re.MULTILINE)) == len(BLOCK.findall(text))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--print-config"]], ids=" ".join)
@pytest.mark.long
def test_what_needs_nothing_is_run(arguments: list[str]) -> None:
    assert run(sys.executable, "-m", "stream", *arguments)


@pytest.mark.long
def test_the_schemas_are_made_by_the_command_that_the_docs_show(tmp_path: Path) -> None:
    assert ["python", "-m", "tools.schemas"] in [shown.words for shown in SENTENCES]
    run(sys.executable, "-m", "tools.schemas", str(tmp_path))
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in (ROOT / "deploy" / "schemas").iterdir()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_and_variable_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    flags = {flag for command in leaves(CLI) for parameter in command.params for flag in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= flags | {"--help", "--version"}
    variables = set(re.findall(r"VITALSTREAM_([A-Z_]*[A-Z])", text))
    settings = {name.upper() for name in Settings.model_fields} | NO_SETTINGS
    assert {name.removesuffix("_FILE") for name in variables} <= settings


def leaves(command: Any) -> Iterator[Any]:
    for each in getattr(command, "commands", {}).values():
        yield from leaves(each)
    if not hasattr(command, "commands"):
        yield command


@pytest.mark.parametrize(
    "line",
    [
        "vitalstream run --no-such-flag",
        "vitalstream run --client kafka-pithon",
        "vitalstream train --hidden many --out x",
        "vitalstream states ls",
        "vitalstream evaluate --scores x",
        "make demos",
        "python -m bench.nothing",
        "pytest -m slowly",
        "kafka-topics.sh --list",
    ],
)
def test_a_command_that_is_not_taken_is_found(line: str) -> None:
    with pytest.raises((AssertionError, SettingsError, UsageError)):
        check(Shown(shlex.split(line), None), whole=True)
