"""Encode text as UTF-8 or windows-1255, and percent-encode it."""

from typing import Final
from urllib.parse import quote

WINDOWS_1255: Final = "cp1255"
_RAW_FORBIDDEN: Final = ' "<>\\^`{|}'


def to_bytes(text: str, *, utf8: bool) -> bytes:
    """Encode; a letter that windows-1255 does not have becomes a question mark."""
    return text.encode("utf-8", "replace") if utf8 else text.encode(WINDOWS_1255, "replace")


def to_text(value: bytes, *, utf8: bool) -> str:
    """Decode as declared; UTF-8 that is none is read as windows-1255."""
    if utf8:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return value.decode(WINDOWS_1255, "replace")


def percent(value: bytes) -> str:
    """Percent-encode as RFC 3986 has it: a space is %20, hexadecimal in upper case."""
    return quote(value, safe="")


def percent_text(text: str, *, utf8: bool) -> str:
    """Encode and percent-encode."""
    return percent(to_bytes(text, utf8=utf8))


def careless(text: str, *, utf8: bool) -> str:
    """Encode only what an HTTP header can't hold, so that ``# & ? = % +`` corrupt the address."""
    raw = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in _RAW_FORBIDDEN)
    return "".join(character if character in raw else percent(to_bytes(character, utf8=utf8)) for character in text)
