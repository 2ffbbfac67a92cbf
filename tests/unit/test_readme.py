"""The README says what the code does. `python -m tests.unit.test_readme` rewrites the table of settings."""

import re
from pathlib import Path

from stream.columns.events import Code
from stream.settings import SHIPPED_MODEL, Settings

README = Path(__file__).resolve().parents[2] / "README.md"


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
    """Where the table of settings begins and ends in the README."""
    begin, end = "<!-- settings -->\n", "<!-- /settings -->\n"
    return text.index(begin) + len(begin), text.index(end)


def test_every_setting_is_in_the_readme() -> None:
    text = README.read_text("utf-8")
    begin, end = borders(text)
    assert text[begin:end] == settings()


def test_every_dead_letter_code_is_in_the_readme() -> None:
    assert {f"`{code}`" for code in Code} <= set(re.findall(r"`\w+`", README.read_text("utf-8")))


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / link).exists(), link


if __name__ == "__main__":
    text = README.read_text("utf-8")
    begin, end = borders(text)
    README.write_text(text[:begin] + settings() + text[end:], "utf-8")
