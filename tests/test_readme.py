"""The README says what the code does. `python -m tests.test_readme` writes the settings table anew."""

import re
from pathlib import Path

from stream.records import Code
from stream.settings import SHIPPED_MODEL, Settings

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def table() -> str:
    """Every setting as a Markdown row."""
    rows = ["| setting | default | what |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = (
            "the shipped one" if default == SHIPPED_MODEL else "" if default in (None, {}) else f"`{default}`"
        )
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def test_every_setting_is_in_the_readme() -> None:
    text = README.read_text("utf-8")
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == table()


def test_every_dead_letter_code_is_in_the_readme() -> None:
    assert {f"`{code}`" for code in Code} <= set(re.findall(r"`\w+`", README.read_text("utf-8")))


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / link).exists(), link


if __name__ == "__main__":
    text = README.read_text("utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    README.write_text(before + BEGIN + table() + after, "utf-8")
