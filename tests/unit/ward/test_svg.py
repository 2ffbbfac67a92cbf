"""The picture as a file: well-formed, and nothing in it is fetched from elsewhere."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text

from stream.ward.svg import as_svg

SHOWN = Path(__file__).resolve().parents[3] / "docs" / "terminal.svg"


@pytest.mark.parametrize(
    "svg",
    [as_svg(Text("risk <high> & rising", style="red"), "a title", 40), SHOWN.read_text("utf-8")],
    ids=["new", "docs/terminal.svg"],
)
def test_it_is_well_formed_and_needs_no_host(svg):
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert set(re.findall(r"https?://[^\s\"'<>)]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "url(#" in svg and not re.search(r"url\([^#]", svg)


def test_it_holds_the_text_and_the_title() -> None:
    svg = as_svg(Text("risk <high>"), "a title", 40)
    assert "risk&#160;&lt;high&gt;" in svg and "a&#160;title" in svg
