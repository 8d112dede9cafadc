"""Encode and decode parameters: query bytes, percent-encoding, UTF-8 or windows-1255."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

Pair = tuple[str, bytes]
"""A parameter's name and the bytes of its value, without percent-encoding."""

MAX_BYTES: Final = 8192
_MAX_PAIRS: Final = 100
_HAZARDS: Final = str.maketrans(dict.fromkeys("#&?=%+", " "))


class Unreadable(ValueError):
    """Bytes that are no parameters, or too many."""


def parse(raw: bytes, *, skip_foreign: bool = False) -> list[Pair]:
    """Return the parameters of a query in their order, duplicates included. Raises Unreadable.

    YaadPay's names are ASCII. ``skip_foreign`` leaves out the other ones, which are otherwise unreadable.
    """
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"longer than {MAX_BYTES} bytes")
    parts = [part for part in raw.split(b"&") if part]
    if len(parts) > _MAX_PAIRS:
        raise Unreadable(f"more than {_MAX_PAIRS} parameters")
    pairs = [(unquote_to_bytes(name), value) for name, _, value in (part.partition(b"=") for part in parts)]
    if not skip_foreign and not all(name.isascii() for name, _ in pairs):
        raise Unreadable("a parameter's name is not ASCII")
    return [(name.decode("ascii"), _value(value)) for name, value in pairs if name.isascii()]


def _value(encoded: bytes) -> bytes:
    return unquote_to_bytes(encoded.replace(b"+", b" "))


def text(value: bytes) -> str:
    """Return a value as text. YaadPay sends some fields in windows-1255 even when UTF-8 is requested."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1255", errors="replace")


def quoted(value: bytes) -> str:
    """Return a value percent-encoded by RFC 3986: all but letters, digits and ``-._~``, in upper-case hex."""
    return quote_from_bytes(value, safe="-._~")


def query(pairs: Iterable[tuple[str, str | bytes]]) -> str:
    """Return parameters as a query, in their order."""
    return "&".join(f"{quoted(name.encode())}={quoted(_bytes(value))}" for name, value in pairs)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def harmless(free_text: str, length: int) -> str:
    """Return text without the characters that break a query, cut to ``length``: YaadPay may echo it unencoded."""
    printable = "".join(letter if letter.isprintable() else " " for letter in free_text.translate(_HAZARDS))
    return " ".join(printable.split())[:length]
