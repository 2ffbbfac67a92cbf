"""HTML from the templates beside this file: one page that needs nothing else. All text is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Environment(
    loader=PackageLoader("model.evaluate"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
PIECES = TEMPLATES.get_template("pieces.html").module


@dataclass(frozen=True, slots=True)
class Section:
    """title: text. html: put in as it is if it is `Markup`, which the functions below return."""

    title: str
    html: Markup


def page(title: str, warning: str, facts: Iterable[tuple[str, str]], sections: Sequence[Section]) -> str:
    """A whole document. facts: names and what they are, side by side under the warning."""
    return TEMPLATES.get_template("page.html").render(
        title=title, warning=warning, facts=facts, sections=sections
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> Markup:
    """The first cell of each row is its name. note: above the table."""
    return _piece("table", head, rows, note)


def plot(svg: bytes, what: str, caption: str) -> Markup:
    """A picture within the page. what: text for those who cannot see it. caption: how to read it."""
    return _piece("plot", b64encode(svg).decode("ascii"), what, caption)


def paragraphs(*texts: str) -> Markup:
    return _piece("paragraphs", texts)


def bullets(texts: Iterable[str]) -> Markup:
    return _piece("bullets", texts)


def numbered(texts: Iterable[str]) -> Markup:
    return _piece("numbered", texts)


def boxes(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Questions and their answers."""
    return _piece("answers", pairs)


def together(*pieces: Markup) -> Markup:
    """One below the other."""
    return Markup("").join(pieces)


def _piece(name: str, *given: object) -> Markup:
    return Markup(getattr(PIECES, name)(*given))
