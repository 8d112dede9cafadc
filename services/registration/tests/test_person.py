"""Test that every spelling of a phone number is one number."""

import phonenumbers
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_registration.domain.person import israeli_e164

E164 = "+972501234567"
SPELLINGS = ["050-123-4567", "(050) 123-4567", "+972 50-123-4567", "00972501234567", "0501234567", "050.123.4567"]
INVISIBLE = [
    *map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x200B, 0x2010), *range(0xFE00, 0xFE10)]),
    *"\u2060\ufeff\u00ad\u061c\u034f\U000e0020",
]
AROUND = st.text(st.sampled_from(INVISIBLE), max_size=2)
DASHES = st.sampled_from("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u05be\ufe63\uff0d")
GAPS = st.sampled_from(" \u00a0\u2009\u202f\u2007\u3000")
# ASCII, fullwidth, Arabic-Indic, mathematical.
ZEROS = st.sampled_from([0x30, 0xFF10, 0x660, 0x1D7CE])


@st.composite
def pasted(draw: st.DrawFn) -> str:
    """Draw a spelling of the number as a messenger might copy it."""
    text = draw(st.sampled_from(["", "tel:", "Tel: "]))
    for character in draw(st.sampled_from(SPELLINGS)):
        if character.isdigit():
            drawn = chr(draw(ZEROS) + int(character))
        else:
            drawn = draw({"-": DASHES, " ": GAPS}.get(character, st.just(character)))
        text += draw(AROUND) + drawn
    return text + draw(AROUND)


@given(pasted())
def test_a_pasted_number_is_the_number(spelled: str) -> None:
    """However it is decorated, spaced, dashed or written."""
    assert israeli_e164(spelled) == E164


@given(st.text())
def test_any_text_is_an_israeli_number_or_none(text: str) -> None:
    """Nothing raises, and what passes is possible."""
    number = israeli_e164(text)
    assert number is None or phonenumbers.is_possible_number(phonenumbers.parse(number))
