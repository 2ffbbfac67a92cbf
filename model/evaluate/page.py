"""HTML from pieces: one page that needs nothing beside it. Text that is passed in is escaped, HTML is not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Section:
    """title: text. html: trusted, put in as it is; what came from outside must be escaped in it."""

    title: str
    html: str


def page(title: str, header: str, sections: Sequence[Section]) -> str:
    """A whole document. title: text. header: HTML under it."""
    style = files("model.evaluate").joinpath("page.css").read_text("utf-8")
    links = " · ".join(
        f'<a href="#s{at}">{escape(section.title)}</a>' for at, section in enumerate(sections, 1)
    )
    body = "\n".join(
        f'<section id="s{at}">\n<h2>{escape(section.title)}</h2>\n{section.html}\n</section>'
        for at, section in enumerate(sections, 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{header}\n<nav>{links}</nav>\n</header>\n{body}\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """Cells are text; the first of each row is its name. note: above the table."""
    caption = f"<caption>{escape(note)}</caption>" if note else ""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(map(_cell, rest))}</tr>' for first, *rest in rows
    )
    return (
        f'<div class="wide"><table>{caption}\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def plot(svg: bytes, what: str, caption: str) -> str:
    """A picture within the page. what: text for those who cannot see it. caption: how to read it."""
    data = b64encode(svg).decode("ascii")
    return (
        f'<figure><img alt="{escape(what)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def paragraphs(*texts: str) -> str:
    return "\n".join(f"<p>{escape(text)}</p>" for text in texts if text)


def bullets(texts: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, side by side."""
    return (
        "<dl>"
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(what)}</dd></div>" for name, what in pairs)
        + "</dl>"
    )


def _cell(text: str) -> str:
    """What stands in parentheses at the end, an interval, may go to a line of its own."""
    figure, _, interval = text.partition(" (")
    return f"<td>{escape(figure)}" + (f" <span>({escape(interval)}</span></td>" if interval else "</td>")
