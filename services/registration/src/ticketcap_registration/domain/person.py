"""Who registers: names as people write them, phones as one number however they are spelled."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import phonenumbers
from ticketcap_chassis.errors import FieldViolation
from ticketcap_chassis.validation import invalid

_NAME_LENGTH: Final = range(2, 101)
_REGION: Final = "IL"
_COUNTRY_CODE: Final = 972
_MOBILE: Final = re.compile(r"5\d{8}")
_SPELLING: Final = frozenset("0123456789 -().+/\u2010\u2011\u2012\u2013\u05be\u200e\u200f\u00a0")


@dataclass(frozen=True, slots=True)
class Person:
    """A valid applicant: name of 2 to 100 characters, phone in E.164, e-mail or None."""

    name: str
    phone: str
    email: str | None

    @classmethod
    def parse(cls, *, name: str, phone: str, email: str | None) -> "Person":
        """Clean what a caller typed, or raise InvalidInput that names every wrong field."""
        clean_name = " ".join(unicodedata.normalize("NFC", name).split())
        number = israeli_e164(phone)
        wrong = []
        if len(clean_name) not in _NAME_LENGTH or not any(character.isalpha() for character in clean_name):
            wrong.append(FieldViolation("name", "must be 2 to 100 characters and hold a letter"))
        if number is None:
            wrong.append(FieldViolation("phone", "must be a valid Israeli phone number, like 050-123-4567"))
        if wrong or number is None:
            raise invalid(wrong)
        return cls(name=clean_name, phone=number, email=email.strip().lower() if email else None)


def israeli_e164(spelled: str) -> str | None:
    """Return an Israeli phone number in E.164, or None when ``spelled`` is not one.

    050 123 4567, 050-123-4567, (050) 123-4567 and +972501234567 are one number.
    """
    if not set(spelled) <= _SPELLING:
        return None
    try:
        number = phonenumbers.parse(spelled, _REGION)
    except phonenumbers.NumberParseException:
        return None
    if number.country_code != _COUNTRY_CODE or number.extension:
        return None
    # Operators open mobile ranges faster than the library learns of them: the shape of a mobile number is enough.
    if not (_MOBILE.fullmatch(str(number.national_number)) or phonenumbers.is_valid_number(number)):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
