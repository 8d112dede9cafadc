"""Make and read the confirmation codes that people read aloud."""

import secrets
from typing import Final

from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.text import normalize

ALPHABET: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Letters and digits less I, L, O, 0 and 1."""

LENGTH: Final = 8
"""31^8 codes, about 8.5e11: two of a million are equal in every second set, which the unique index catches."""


def new_code() -> str:
    """Return a fresh random code. It identifies a registration and grants nothing."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def normalized(spelled: str) -> str:
    """Return the stored form of a code that a person typed or pasted; raise InvalidInput when it can't be one."""
    code = normalize.confirmation_code(spelled)
    if code is None:
        raise InvalidInput.of("confirmation_code", "must be 1 to 32 letters and digits")
    return code
