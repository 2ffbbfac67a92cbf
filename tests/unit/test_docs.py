"""README and docs say what the code does. `python -m tests.unit.test_docs` rewrites the table of settings."""

import re
from pathlib import Path

import pytest

from stream.columns.events import Code
from stream.settings import SHIPPED_MODEL, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "settings.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
README_WORDS = 900


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


def test_every_setting_is_in_the_docs() -> None:
    text = SETTINGS.read_text("utf-8")
    begin, end = borders(text)
    assert text[begin:end] == settings()


def test_every_dead_letter_code_is_in_the_docs() -> None:
    contracts = (DOCS / "contracts.md").read_text("utf-8")
    assert {f"`{code}`" for code in Code} <= set(re.findall(r"`\w+`", contracts))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert link.startswith("https:") or (page.parent / link).exists(), link


def test_the_front_page_leads_to_every_page_and_shows_the_ward() -> None:
    links = set(re.findall(r"\]\(([^)]+)\)", (DOCS / "index.md").read_text("utf-8")))
    assert links == {page.name for page in DOCS.glob("*.md")} - {"index.md"} | {"terminal.svg"}


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= README_WORDS


if __name__ == "__main__":
    text = SETTINGS.read_text("utf-8")
    begin, end = borders(text)
    SETTINGS.write_text(text[:begin] + settings() + text[end:], "utf-8")
