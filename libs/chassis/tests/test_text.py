"""Check that pasted text is normalized to its meaning."""

import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_chassis.text import folding, normalize
from ticketcap_chassis.text.folding import folded, folded_ascii, folded_line

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
FORMAT = [c for c in EVERY_CHARACTER if unicodedata.category(c) == "Cf"]
DIGITS = [c for c in EVERY_CHARACTER if unicodedata.category(c) == "Nd"]
SPACES = [c for c in EVERY_CHARACTER if unicodedata.category(c) in {"Zs", "Zl", "Zp"}]
DASHES = [c for c in EVERY_CHARACTER if unicodedata.category(c) == "Pd"]
# Characters that contacts and messengers copy along.
SEEN = [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), *"\u200b\u2060\ufeff\u00ad\ufe0d\ufe0f"]


@pytest.mark.parametrize("character", SEEN, ids=ascii)
def test_what_was_seen_in_copied_phones_is_dropped(character: str) -> None:
    """Wherever it stands."""
    assert normalize.phone(f"{character}050{character}-123-4567{character}") == "050-123-4567"


@pytest.mark.parametrize("dash", ["\u2014", "\u2212", "\u05be", "\u2013", "\u2011", "\uff0d"], ids=ascii)
@pytest.mark.parametrize("space", ["\u2009", "\u202f", "\u00a0", "\u3000"], ids=ascii)
def test_any_dash_space_and_digit_is_as_good_as_asciis(dash: str, space: str) -> None:
    """The maqaf, the minus, the em dash; thin, narrow and fullwidth spaces; fullwidth digits."""
    digits = "".join(chr(0xFF10 + int(digit)) for digit in "1234567")
    assert normalize.phone(f"050{dash}{digits[:3]}{space}{digits[3:]}") == "050-123 4567"


def test_every_character_of_a_kind_is_folded() -> None:
    """All that Unicode has of them, not only those seen."""
    assert {folded(f"a{c}b") for c in FORMAT} == {"ab"}
    assert {folded(f"a{c}b") for c in SPACES} == {"a b"}
    assert {folded(f"a{c}b") for c in DASHES} == {"a-b"}
    assert all(folded(f"a{c}b") == f"a{unicodedata.decimal(c)}b" for c in DIGITS)


@pytest.mark.parametrize("prefix", ["tel:", "Tel: ", "TEL:\u200f"])
def test_a_copied_link_is_a_phone(prefix: str) -> None:
    """A phone copied from a page brings its scheme along."""
    assert normalize.phone(f"{prefix}+972-50-123-4567") == "+972-50-123-4567"


@given(st.text())
@pytest.mark.parametrize("fold", [folded, folded_line, folded_ascii])
def test_folding_twice_changes_nothing_more(fold: Callable[[str], str], text: str) -> None:
    """The gateway folds, and so does the service behind it."""
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_what_a_rule_keeps_it_keeps_again(text: str) -> None:
    """The service accepts the texts that the gateway accepts, with the same result."""
    rules = (
        *(normalize.person_name, normalize.phone, normalize.email),
        *(normalize.confirmation_code, normalize.slug, normalize.reason),
    )
    for rule in rules:
        stored = rule(text)
        assert stored is None or rule(stored) == stored


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_typed_ascii_keeps_its_characters(text: str) -> None:
    """Nothing but outer spaces goes."""
    assert folded(text) == folded_ascii(text) == text.strip(" ")


@pytest.mark.parametrize(
    "name",
    [
        "\u200b\u200b",
        "\u3164\u3164",
        "\u2800\u2800",
        "\u115f\u1160",
        "\ufe0f\u200d",
        "  ",
        "12",
        "--",
        "אב\x85",
        "a\u202eb",
    ],
    ids=ascii,
)
def test_a_name_that_nobody_can_see_is_none(name: str) -> None:
    """Invisible, blank, without a letter, with a C1 control, or turning other text around."""
    assert normalize.person_name(name) is None


def test_names_stay_what_they_are() -> None:
    """Apostrophes, gershayim and accents stay; a maqaf is a hyphen, and spaces are one."""
    assert normalize.person_name("\u2067ד״ר  ג'ונס\u00a0בן\u05beדוד\u2069") == "ד״ר ג'ונס בן-דוד"
    assert normalize.person_name("Ame\u0301lie O'Brien") == "Am\u00e9lie O'Brien"


@pytest.mark.parametrize(
    ("text", "visible"), [("x", True), ("!", True), ("👨\u200d👩", True), ("\u3164\u200b ", False)]
)
def test_a_title_is_visible(text: str, visible: bool) -> None:
    """Letters, digits, punctuation and symbols are seen; fillers and format characters are not."""
    assert folding.is_visible(text) is visible
