"""README and docs say what the code does. `python -m tests.unit.test_docs` rewrites the table of settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from stream.cli.main import COMMANDS, INTERRUPTED, application
from stream.columns.events import Code, Dropped
from stream.errors import VitalstreamError
from stream.metrics import Metrics
from stream.settings import SHIPPED_MODEL, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "settings.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
BASES = (ROOT, ROOT / "stream", ROOT / "stream" / "worker")
"""Where the architecture's short paths begin."""
README_WORDS = 900
TERMINATED = 143


def settings() -> str:
    """Every setting as a Markdown row."""
    rows = ["| setting | default | what |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = (
            "the shipped one" if default == SHIPPED_MODEL else "" if default in (None, {}) else f"`{default}`"
        )
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def borders(text: str) -> tuple[int, int]:
    """Where the table of settings begins and ends."""
    begin, end = "<!-- settings -->\n", "<!-- /settings -->\n"
    return text.index(begin) + len(begin), text.index(end)


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without the table's head."""
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [re.split(r" \| ", row) for row in rows[2:]]


def named(text: str, heading: str) -> list[str]:
    """The first cells of that table; every other cell holds a text."""
    rows = table(text, heading)
    assert all(len(row) == len(rows[0]) and all(map(str.strip, row)) for row in rows)
    return [row[0].strip("`") for row in rows]


def exit_codes(error: type[VitalstreamError] = VitalstreamError) -> set[int]:
    return {error.exit_code}.union(*map(exit_codes, error.__subclasses__()))


def test_every_setting_is_in_the_docs() -> None:
    text = page("settings.md")
    begin, end = borders(text)
    assert text[begin:end] == settings()


def test_every_dead_letter_code_is_in_the_contract() -> None:
    assert {f"`{code}`" for code in Code} <= set(re.findall(r"`\w+`", page("contracts.md")))


def test_operations_has_what_to_do_about_every_refusal_and_no_other() -> None:
    assert sorted(named(page("operations.md"), "Refused events")) == sorted(Code)
    assert sorted(named(page("operations.md"), "Fields that are left out")) == sorted(Dropped)


def test_operations_has_what_to_do_about_every_alert_and_no_other() -> None:
    rules = [
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    assert sorted(named(page("operations.md"), "Alerts")) == sorted(rules)


def test_operations_and_help_have_every_exit_code_and_no_other() -> None:
    codes = sorted({0, INTERRUPTED, TERMINATED} | exit_codes())
    assert [int(code) for code in named(page("operations.md"), "Exit codes")] == codes
    epilog = get_command(application()).epilog or ""
    assert [int(code) for code in re.findall(r"\b(\d+) ", epilog)] == codes


def test_operations_has_every_command_and_which_have_json() -> None:
    shown = {name for row in named(page("operations.md"), "Commands") for name in re.findall(r"[\w-]+", row)}
    commands = dict(walk(get_command(application(*COMMANDS))))
    assert shown - {"vitalstream"} == {word for path in commands for word in path.split()}
    without = {path.split()[0] for path, flags in commands.items() if "--json" not in flags}
    assert without == {"topics"} and "Each except `topics` has `--json`" in page("operations.md")


def walk(command: object, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command by its path, without the program's name, and its flags."""
    for name, each in getattr(command, "commands", {}).items():
        below = f"{path} {name}".strip()
        if hasattr(each, "commands"):
            yield from walk(each, below)
        else:
            yield below, {flag for parameter in each.params for flag in parameter.opts}


def test_a_reason_is_decided_in_the_file_that_the_architecture_names() -> None:
    rows = table(page("architecture.md"), "Where a dead letter's reason is decided")
    assert sorted(row[0].strip("`") for row in rows) == sorted(Code)
    for code, name in rows:
        assert f"Code.{Code(code.strip('`')).name}" in (ROOT / name.strip("`")).read_text(), code


def test_every_file_that_the_architecture_names_is_there() -> None:
    names = set(re.findall(r"`([\w/]+(?:\.py|/))`", page("architecture.md")))
    assert [name for name in names if not any((at / name).exists() for at in BASES)] == []


def test_the_architecture_has_one_diagram() -> None:
    assert len(re.findall(r"^```", page("architecture.md"), re.MULTILINE)) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_metric_that_a_page_names_exists(page: Path) -> None:
    metrics = Metrics()
    metrics.describe_model("gru-64", "ab" * 32, "in_hospital_death")
    exist = {family.name for family in metrics.registry.collect()}
    exist |= {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert set(re.findall(r"\bvitalstream_\w+", page.read_text("utf-8"))) <= exist


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert link.startswith("https:") or (page.parent / link).exists(), link


def test_the_front_page_leads_to_every_page_and_shows_the_ward() -> None:
    links = set(re.findall(r"\]\(([^)]+)\)", page("index.md")))
    pages = {str(found.relative_to(DOCS)) for found in DOCS.rglob("*.md")}
    assert links == pages - {"index.md"} | {"terminal.svg"}


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= README_WORDS


if __name__ == "__main__":
    text = page("settings.md")
    begin, end = borders(text)
    SETTINGS.write_text(text[:begin] + settings() + text[end:], "utf-8")
