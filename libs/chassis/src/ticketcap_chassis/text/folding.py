"""Fold pasted text: no format characters, plain spaces, hyphens and digits.

Contacts and messengers wrap what they copy into invisible characters, and
keyboards have a dozen dashes and spaces. Every text that people paste is folded
here first and judged afterwards: phones, codes, e-mail addresses, names, reasons
and slugs, in the gateway and in the services.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

# Unicode's Default_Ignorable_Code_Point: characters without a shape of their own, whatever their category.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACES: Final = frozenset({"Zs", "Zl", "Zp"})
_BLANK: Final = "\u2800"
"""A Braille cell without dots: a symbol by its category, a space to the eye."""
_MINUSES: Final = frozenset("\u02d7\u2043\u207b\u208b\u2212\u2796")
"""What looks like a dash and has another category."""
_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_BESIDES_LINES: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SEEN: Final = frozenset("LNPS")
_CHARACTERS_KEPT: Final = 4_096


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

    For what is ASCII when it is right: phones, codes, e-mail addresses, slugs.
    """
    return text.strip(" ") if text.isascii() else folded(unicodedata.normalize("NFKC", text))


def has_control(text: str) -> bool:
    """Say whether ``text`` holds a control character: C0, DEL or C1."""
    return _CONTROL.search(text) is not None


def has_control_besides_lines(text: str) -> bool:
    """Say whether ``text`` holds a control character other than a tab and line breaks."""
    return _CONTROL_BESIDES_LINES.search(text) is not None


def has_override(text: str) -> bool:
    """Say whether ``text`` turns the direction of other text around (U+202D, U+202E)."""
    return _OVERRIDES.search(text) is not None


def is_visible(text: str) -> bool:
    """Say whether people see anything of ``text``: a letter, a digit, a mark of punctuation or a symbol."""
    return any(unicodedata.category(character)[0] in _SEEN for character in text if _is_shown(character))


def _is_shown(character: str) -> bool:
    return character != _BLANK and not _INVISIBLE.match(character)


# Bounded: a caller could name ever new characters.
@lru_cache(maxsize=_CHARACTERS_KEPT)
def _folded(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or _INVISIBLE.match(character):
        return ""
    if category in _SPACES or character == _BLANK:
        return " "
    if category == "Pd" or character in _MINUSES:
        return "-"
    return str(unicodedata.decimal(character)) if category == "Nd" else character
