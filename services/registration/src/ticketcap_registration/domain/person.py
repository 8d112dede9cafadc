"""Parse the name, phone and e-mail of an applicant."""

import re
from dataclasses import dataclass
from typing import Final

import phonenumbers
from ticketcap_chassis.errors import FieldViolation, InvalidInput
from ticketcap_chassis.text import normalize

_REGION: Final = "IL"
_COUNTRY_CODE: Final = 972
_MOBILE: Final = re.compile(r"5\d{8}")


@dataclass(frozen=True, slots=True)
class Person:
    """A valid applicant: name of 2 to 100 characters, phone in E.164, e-mail or None."""

    name: str
    phone: str
    email: str | None

    @classmethod
    def parse(cls, *, name: str, phone: str, email: str | None) -> "Person":
        """Return the person in normal form; raise InvalidInput that names every invalid field."""
        clean_name, number = normalize.person_name(name), israeli_e164(phone)
        address = normalize.email(email) if email is not None else None
        violations = []
        if clean_name is None:
            violations.append(FieldViolation("name", "must have 2 to 100 characters, one of them a letter"))
        if number is None:
            violations.append(FieldViolation("phone", "must be a valid Israeli phone number, like 050-123-4567"))
        if email is not None and address is None:
            violations.append(FieldViolation("email", "must be a valid e-mail address"))
        if violations or clean_name is None or number is None:
            raise InvalidInput.of_fields(violations)
        return cls(name=clean_name, phone=number, email=address.lower() if address else None)


def israeli_e164(spelled: str) -> str | None:
    """Return an Israeli phone number in E.164, or None when ``spelled`` is not one.

    050 123 4567, 050-123-4567, (050) 123-4567 and +972501234567 are one number, also with the invisible characters
    that contacts and messengers copy along.
    """
    plain = normalize.phone(spelled)
    if plain is None:
        return None
    try:
        number = phonenumbers.parse(plain, _REGION)
    except phonenumbers.NumberParseException:
        return None
    if number.country_code != _COUNTRY_CODE or number.extension:
        return None
    # Operators open mobile ranges faster than the library learns of them: the shape of a mobile number is enough.
    if not (_MOBILE.fullmatch(str(number.national_number)) or phonenumbers.is_valid_number(number)):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
