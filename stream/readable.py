"""How a patient's id, or what else came over the wire, stands on a screen: the one place that escapes."""

from __future__ import annotations

from unicodedata import category

BLANK = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters that draw nothing."""
UPON_ANOTHER = ("Mn", "Me")


def readable(text: str) -> str:
    """The text, with everything escaped that a terminal would obey, that would turn the direction of writing,
    or that takes no place of its own: control characters, marks upon a letter, joiners, lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _shows(char) else char.encode("unicode_escape").decode() for char in text)


def _shows(character: str) -> bool:
    return character.isprintable() and character not in BLANK and category(character) not in UPON_ANOTHER
