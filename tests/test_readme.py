"""The README says what the code does. `python -m tests.test_readme` writes its two tables anew."""

import re
from pathlib import Path

import pytest

from stream.records import Code
from stream.settings import SHIPPED_MODEL, Settings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


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


def bench() -> str:
    """The measured table and its ratios, as `make bench` wrote them."""
    lines = (ROOT / "bench" / "results" / "pipeline.md").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith(("|", "-")) or not line).strip() + "\n"


TABLES = {"settings": settings, "bench": bench}


def borders(text: str, name: str) -> tuple[int, int]:
    """Where the table `name` begins and ends in the README."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    return text.index(begin) + len(begin), text.index(end)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_readme_are_what_the_code_and_the_bench_say(name: str) -> None:
    text = README.read_text("utf-8")
    begin, end = borders(text, name)
    assert text[begin:end] == TABLES[name]()


def test_every_dead_letter_code_is_in_the_readme() -> None:
    assert {f"`{code}`" for code in Code} <= set(re.findall(r"`\w+`", README.read_text("utf-8")))


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / link).exists(), link


if __name__ == "__main__":
    text = README.read_text("utf-8")
    for name, table in TABLES.items():
        begin, end = borders(text, name)
        text = text[:begin] + table() + text[end:]
    README.write_text(text, "utf-8")
