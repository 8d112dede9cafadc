"""Make the Order, our reference of one payment at YaadPay.

Letters and digits only: YaadPay may drop every other character.
"""

import secrets
from typing import Final

_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH: Final = 18
_PREFIX: Final = "TC"


def new_order() -> str:
    """Return an unguessable Order of 20 characters."""
    return _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
