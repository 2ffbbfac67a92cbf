"""What came over the wire does nothing to the screen on which it is shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.readable import readable

CONTROL = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNSEEN = "\u00ad\u115f\u1160\u180e\u200b\u200c\u200d\u2028\u2029\u2060\u3164\ufeff\uffa0\U000e0041"
MARKS = "\u0301\u034f\u180b\u20dd\ufe0f\U000e0100"
UNSHOWN = CONTROL + TURNING + UNSEEN + MARKS


@pytest.mark.parametrize("character", UNSHOWN, ids=ascii)
def test_what_a_terminal_would_obey_or_not_show_is_escaped(character):
    shown = readable(f"a{character}b")
    assert shown.isascii() and shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")


@pytest.mark.parametrize("text", ["MRN-17", "00123", "患者 1", "Łukasz", "C:\\1", "", "عمر"])
def test_what_shows_is_shown_as_it_is(text):
    assert readable(text) == text


@given(st.text(st.characters(codec=None)))
def test_whatever_it_is_it_prints_and_every_character_stands_for_itself(text):
    shown = readable(text)
    assert shown.isprintable()
    assert not any(unicodedata.combining(one) for one in shown)
    shown.encode()
