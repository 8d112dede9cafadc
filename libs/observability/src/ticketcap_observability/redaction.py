"""Redact personal data and secrets by their key and by their shape.

These shapes are recognised: e-mail addresses, Israeli phones and any number with a plus,
Israeli ids by their check digit, card numbers by Luhn's, YaadPay's KEY (40 hex
digits), JSON Web Tokens, authorization headers, and ``key=value`` pairs whose
key is a hidden one. UUIDs, trace and span ids, times, amounts and confirmation
codes look alike and stay.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

REDACTED: Final = "[redacted]"

_WORDS: Final = frozenset(
    {
        *("authorization", "cookie", "cvv", "email", "jwt", "mobile", "passp", "password", "passwd", "phone", "secret"),
        *("telephone", "token"),
    }
)
"""Words: the value under a key with one of them is redacted."""
_KEYS: Final = frozenset(
    {
        *("api_key", "card_number", "cc", "cell", "client_name", "clientlname", "clientname", "dsn", "first_name"),
        *("full_name", "id_number", "key", "last_name", "name", "national_id", "parent_name", "private_key", "tel"),
        *("teudat_zehut", "userid"),
    }
)
"""Whole keys whose value is redacted."""

_DASHES: Final = r"\-\u00ad\u2010-\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d\u05be"
_BLANKS: Final = r"\s\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069"
_GAP: Final = rf"[{_BLANKS}{_DASHES}.()/+_]{{0,4}}"
_TIGHT: Final = rf"[{_BLANKS}{_DASHES}()/]{{0,4}}"
_STEP: Final = rf"[{_DASHES}\ ]"
# A number may begin here: not within another one, nor as a number's decimals.
_BEGIN: Final = r"(?<!\d)(?<!\d[.,])"

_ISRAELI: Final = (
    rf"(?:(?:\+|00|%2[Bb])?{_GAP}972{_GAP}(?:0{_TIGHT})?|0{_TIGHT})(?:[57]{_TIGHT}\d|[23489])(?:{_GAP}\d){{7}}"
)
_PLUS: Final = rf"(?:\+|%2[Bb]){_TIGHT}[1-9](?:{_GAP}\d){{7,14}}"
_UUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

_ADDRESS: Final = re.compile(
    r"(?P<login>(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}@)"
    r"|(?P<email>[^\s@<>\"(),:;\[\]\\]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,127}(?:[^\W\d_]{2,63}|xn--[\w-]{1,59}))"
)
_TOKEN: Final = re.compile(
    r"(?P<jwt>eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?)|(?P<bearer>\b(?i:bearer|basic)\s+[\w.~+/=-]{6,})"
    r"|(?P<hexkey>(?<![0-9A-Za-z])[0-9a-fA-F]{40}(?![0-9A-Za-z]))"
)
_MAY_BE_TOKEN: Final = re.compile(r"eyJ|(?i:bearer|basic)\s|[0-9a-fA-F]{40}")
_PAIR: Final = re.compile(
    r"""(?<![A-Za-z])(?P<key>[A-Za-z][\w-]{1,40})(?P<sign>["']?(?:=|:(?!:)\s?))"""
    r"""(?P<value>"[^"]{0,400}"|'[^']{0,400}'|(?i:bearer\s|basic\s)?[^\s&,;"'{}\[\]]+)"""
)
_NUMBER: Final = re.compile(
    rf"""
      (?P<uuid>(?<![0-9A-Za-z]){_UUID}(?![0-9A-Za-z]))
    | (?P<date>{_BEGIN}\d{{4}}-[01]\d-[0-3]\d(?:[T\ ][0-2]\d:[0-5]\d(?::[0-6]\d(?:[.,]\d+)?)?)?(?!\d))
    | (?P<parent>(?<![0-9A-Za-z])[0-9a-f]{{2}}-[0-9a-f]{{32}}-(?=\d*[a-f])[0-9a-f]{{16}}-[0-9a-f]{{2}}(?![0-9A-Za-z]))
    | (?P<hex>(?<![0-9A-Za-z])[0-9a-fA-F]{{32}}(?![0-9A-Za-z]))
    | (?P<phone>{_BEGIN}(?:{_ISRAELI}|{_PLUS})(?!\d))
    | (?P<card>{_BEGIN}\d(?:[{_BLANKS}{_DASHES}]?\d){{12,24}}(?![0-9A-Za-z]))
    | (?P<id>{_BEGIN}(?:\d{{9}}|\d{{8}}{_STEP}\d|\d{_STEP}\d{{7}}{_STEP}\d|\d{{3}}{_STEP}\d{{3}}{_STEP}\d{{3}})
        (?![.,]?\d))
    """,
    re.VERBOSE,
)
_MAY_BE_NUMBER: Final = re.compile(rf"\d(?:{_GAP}\d){{7}}")
# Personal data has nine characters or more, or a sign among them: these texts need no search.
_PLAIN: Final = re.compile(rf"{_UUID}|[0-9a-f]{{32}}|[A-Z_]+|[a-z_]+|[0-9A-Za-z]{{1,8}}")
_FOREIGN_DIGIT: Final = re.compile(r"(?![0-9])\d")
_CARD_LENGTHS: Final = range(13, 20)
_CARD_BEGINS: Final = frozenset("23456")
_GROUP: Final = re.compile(r"\d+")
_JOINTS: Final = re.compile(r"[-. ]")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MOST_HARMLESS: Final = 8192
_TOO_SMALL: Final = 10**8
"""A smaller number is no id, no phone and no card."""
_REPEATED_FROM: Final = 200
"""Texts as long as this are mostly SQL statements, which repeat."""
_DEPTH: Final = 4


def redact(text: str) -> str:
    """Return ``text`` with every personal part replaced by ``REDACTED``."""
    if _PLAIN.fullmatch(text):
        return text
    return _redacted_cached(text) if len(text) >= _REPEATED_FROM else _redacted(text)


class HarmlessTexts:
    """A bounded memory of short texts in which nothing was found: most values of spans repeat.

    It never holds a text that was redacted. Any thread may use it.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def has_key(self, key: str) -> bool:
        """Return whether ``key`` is harmless and its value is no secret by this key."""
        return not is_hidden(key) and self.has(key)

    def has(self, text: str) -> bool:
        """Return whether ``text`` has nothing to redact."""
        if text in self._texts:
            return True
        if redact(text) != text:
            return False
        if len(text) < _REPEATED_FROM:
            if len(self._texts) >= _MOST_HARMLESS:
                self._texts = set()
            self._texts.add(text)
        return True


def redact_under(key: object, value: object, depth: int = _DEPTH) -> object:
    """Return ``value`` redacted, by ``key`` and by its shape; mappings and lists at most ``depth`` levels deep."""
    if is_hidden(str(key)):
        return REDACTED
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    if isinstance(value, int):
        return REDACTED if _is_personal_number(value) else value
    return _redact_inside(value, depth)


def _redact_inside(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return redact_all(value, depth - 1) if depth else REDACTED
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_under("", item, depth - 1) for item in value] if depth else REDACTED
    return value


def redact_all(mapping: Mapping[object, object] | Mapping[str, object], depth: int = _DEPTH) -> dict[str, object]:
    """Return ``mapping`` with every entry redacted. A key may be personal too."""
    return {redact(str(key)): redact_under(key, value, depth) for key, value in mapping.items()}


@lru_cache(maxsize=1024)
def is_hidden(key: str) -> bool:
    """Return whether every value under ``key`` is redacted."""
    plain = _JOINTS.sub("_", key)
    spellings = {plain.casefold(), _CAMEL.sub("_", plain).casefold()}
    words = {word for spelling in spellings for word in spelling.split("_")}
    return not _KEYS.isdisjoint(spellings) or not _WORDS.isdisjoint(words)


@lru_cache(maxsize=256)
def _redacted_cached(text: str) -> str:
    return _redacted(text)


def _redacted(text: str) -> str:
    """Search for each shape only after a character that hints: most texts have none."""
    if "@" in text or "%40" in text:
        text = _ADDRESS.sub(_hidden, text)
    if _MAY_BE_TOKEN.search(text):
        text = _TOKEN.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = _PAIR.sub(_pair, text)
    if not text.isascii():
        text = _FOREIGN_DIGIT.sub(lambda digit: str(int(digit[0])), text)
    return _NUMBER.sub(_number, text) if _MAY_BE_NUMBER.search(text) else text


def _hidden(found: re.Match[str]) -> str:
    return f"{REDACTED}@" if found.lastgroup == "login" else REDACTED


def _pair(found: re.Match[str]) -> str:
    return f"{found['key']}{found['sign']}{REDACTED}" if is_hidden(found["key"]) else found[0]


def _number(found: re.Match[str]) -> str:
    text = found[0]
    match found.lastgroup:
        case "phone":
            return REDACTED
        case "card":
            return _without_cards(text)
        case "id":
            return REDACTED if _is_id(_digits(text)) else text
        case _:
            return text


def _without_cards(text: str) -> str:
    """Replace each card number and id among adjacent groups of digits."""
    groups = list(_GROUP.finditer(text))
    for first, begin in enumerate(groups):
        for end in reversed(groups[first:]):
            digits = _digits(text[begin.start() : end.end()])
            if _is_card(digits) or (begin is end and _is_id(digits)):
                tail = _without_cards(text[end.end() :])
                return f"{text[: begin.start()]}{REDACTED}{tail}"
    return text


def _digits(text: str) -> str:
    """Return the digits of ``text``, of any script, as ASCII."""
    return "".join(str(int(character)) for character in text if character.isdecimal())


def _is_card(digits: str) -> bool:
    return len(digits) in _CARD_LENGTHS and digits[0] in _CARD_BEGINS and _luhn(digits) == 0


def _is_id(digits: str) -> bool:
    """Return whether nine digits are an Israeli id: their check digit is Luhn's."""
    return len(digits) == 9 and _luhn(digits) == 0 and digits != "000000000"  # noqa: PLR2004 - as long as an id is


def _luhn(digits: str) -> int:
    """Return 0 when the check digit is right.

    https://en.wikipedia.org/wiki/Luhn_algorithm
    """
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10


def _is_personal_number(number: int) -> bool:
    """Return whether a number is an id, a phone without its zero, or a card."""
    if -_TOO_SMALL < number < _TOO_SMALL:
        return False
    digits = str(number)
    return _is_id(digits) or _is_card(digits) or re.fullmatch(r"972[23489]?\d{8}|9725\d{8}|5\d{8}", digits) is not None
