"""Our reference of one attempt at YaadPay: letters and digits only, for YaadPay may drop everything else."""

import secrets
from typing import Final

_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH: Final = 18
_PREFIX: Final = "TC"


def new_order() -> str:
    """Return an Order that nobody can guess: 20 characters."""
    return _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
