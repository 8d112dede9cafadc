"""Fold pasted text to plain spaces, hyphens and digits.

Contacts and messengers wrap copied text into invisible characters, and keyboards have a dozen dashes and spaces. Every
pasted text is folded here before its rule is checked, in the gateway and in the services.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

# Unicode's Default_Ignorable_Code_Point: characters without a shape of their own, of any category.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACES: Final = frozenset({"Zs", "Zl", "Zp"})
_BLANK: Final = "\u2800"
"""A Braille cell without dots: a symbol by its category, a space to the eye."""
_MINUSES: Final = frozenset("\u02d7\u2043\u207b\u208b\u2212\u2796")
"""Dashes by their look, with another category."""
_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_BESIDES_LINES: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_VISIBLE: Final = frozenset("LNPS")
_CACHED_CHARACTERS: Final = 4_096


def folded(text: str) -> str:
    """Return ``text`` in NFC, without format characters and outer spaces; spaces, dashes and digits are ASCII's."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", "".join(map(_folded, text)))
    return text.strip(" ")


def folded_line(text: str) -> str:
    """Return ``text`` folded, with one space where it has several."""
    return " ".join(part for part in folded(text).split(" ") if part)


def folded_ascii(text: str) -> str:
    """Return ``text`` folded, with ASCII's characters for their fullwidth and other compatible forms.

    For texts that are ASCII when they are valid: phones, codes, e-mail addresses, slugs.
    """
    return text.strip(" ") if text.isascii() else folded(unicodedata.normalize("NFKC", text))


def has_control(text: str) -> bool:
    """Return whether ``text`` has a control character: C0, DEL or C1."""
    return _CONTROL.search(text) is not None


def has_control_besides_lines(text: str) -> bool:
    """Return whether ``text`` has a control character other than tabs and line breaks."""
    return _CONTROL_BESIDES_LINES.search(text) is not None


def has_override(text: str) -> bool:
    """Return whether ``text`` reverses the direction of other text (U+202D, U+202E)."""
    return _OVERRIDES.search(text) is not None


def is_visible(text: str) -> bool:
    """Return whether ``text`` has a visible character: a letter, digit, punctuation mark or symbol."""
    return any(unicodedata.category(character)[0] in _VISIBLE for character in text if _has_shape(character))


def _has_shape(character: str) -> bool:
    return character != _BLANK and not _INVISIBLE.match(character)


# Bounded: callers could send new characters without end.
@lru_cache(maxsize=_CACHED_CHARACTERS)
def _folded(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or _INVISIBLE.match(character):
        return ""
    if category in _SPACES or character == _BLANK:
        return " "
    if category == "Pd" or character in _MINUSES:
        return "-"
    return str(unicodedata.decimal(character)) if category == "Nd" else character
