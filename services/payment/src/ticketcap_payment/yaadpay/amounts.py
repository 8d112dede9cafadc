"""Convert agorot and currencies to YaadPay's form and back."""

import re
from typing import Final

_COINS: Final = {"ILS": "1", "USD": "2", "EUR": "3", "GBP": "4"}
_AMOUNT: Final = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{1,2}))?")


def decimal(agorot: int) -> str:
    """Return minor units in YaadPay's form: major units, a point, two digits."""
    return f"{agorot // 100}.{agorot % 100:02d}"


def agorot(amount: str) -> int | None:
    """Return the minor units of an amount in YaadPay's form, or None when it is not one.

    ``10`` and ``10.00`` are equal; so are ``49.9``, ``49,90`` and `` 49.90 ``: blanks do not count.
    """
    match = _AMOUNT.fullmatch("".join(amount.split()))
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def coin(currency: str) -> str:
    """Return the Coin number of an ISO 4217 code."""
    return _COINS[currency]


def currency(coin_number: str) -> str | None:
    """Return the ISO 4217 code of a Coin number, or None for an unknown number."""
    return next((code for code, number in _COINS.items() if number == coin_number), None)
