"""Normalize names, phones, e-mail addresses, codes, slugs and reasons.

The gateway and the services share these rules, so that both accept the same texts. Each function folds the text and
returns it in its stored form, or None if it is invalid.
"""

import re
from typing import Final

from ticketcap_chassis.text.folding import (
    folded,
    folded_ascii,
    folded_line,
    has_control,
    has_control_besides_lines,
    has_override,
)

_NAME_LENGTH: Final = range(2, 101)
_SLUG: Final = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
# The e-mail rule of the HTML standard, which is also buf.validate's.
_EMAIL: Final = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_EMAIL_LENGTH: Final = 254
_TEL: Final = re.compile(r"^tel: *", re.IGNORECASE)
_PHONE: Final = re.compile(r"[0-9 \-().+/]{1,40}")
_PHONE_DIGITS: Final = range(7, 16)
_CODE_LENGTH: Final = 32
_REASON_LENGTH: Final = 500


def person_name(pasted: str) -> str | None:
    """Return a name of 2 to 100 characters with a letter; None for control characters and bidirectional overrides."""
    if has_control(pasted) or has_override(pasted):
        return None
    name = folded_line(pasted)
    return name if len(name) in _NAME_LENGTH and any(map(str.isalpha, name)) else None


def phone(pasted: str) -> str | None:
    """Return a possible phone number: 7 to 15 digits with spaces and -().+/, without ``tel:``."""
    spelled = _TEL.sub("", folded_ascii(pasted))
    digits = sum(character.isdigit() for character in spelled)
    return spelled if _PHONE.fullmatch(spelled) and digits in _PHONE_DIGITS else None


def email(pasted: str) -> str | None:
    """Return an e-mail address of at most 254 characters."""
    address = folded_ascii(pasted)
    return address if len(address) <= _EMAIL_LENGTH and _EMAIL.fullmatch(address) else None


def confirmation_code(pasted: str) -> str | None:
    """Return 1 to 32 ASCII letters and digits, in capitals, without spaces and hyphens."""
    code = folded_ascii(pasted).replace("-", "").replace(" ", "").upper()
    return code if len(code) <= _CODE_LENGTH and code.isascii() and code.isalnum() else None


def slug(pasted: str) -> str | None:
    """Return 1 to 63 lower-case letters, digits and single hyphens that begin with a letter."""
    spelled = folded_ascii(pasted)
    return spelled if _SLUG.fullmatch(spelled) else None


def reason(pasted: str) -> str | None:
    """Return at most 500 characters of one or more lines; None for control characters."""
    text = folded(pasted)
    return text if len(text) <= _REASON_LENGTH and not has_control_besides_lines(text) else None
