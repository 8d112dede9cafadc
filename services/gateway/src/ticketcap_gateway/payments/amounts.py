"""Format amounts for people, exactly, from integers."""

from typing import Final

_MINOR: Final = 100
"""Every currency that TicketCap takes has two decimals."""
_SYMBOLS: Final = {"ILS": "₪", "USD": "$", "EUR": "€", "GBP": "£"}


def decimal(minor: int) -> str:
    """Return an amount of minor units with its two decimals: 1205 is 12.05, -5 is -0.05."""
    whole, rest = divmod(abs(minor), _MINOR)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:02}"


def readable(minor: int, currency: str) -> str:
    """Return an amount with its currency, as a page shows it: ₪1,250.00."""
    whole, rest = divmod(abs(minor), _MINOR)
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{'-' if minor < 0 else ''}{symbol}{whole:,}.{rest:02}"
