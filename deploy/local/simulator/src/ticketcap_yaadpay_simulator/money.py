"""Convert amounts: decimal text on the wire, agorot in the book."""

import re
from typing import Final

_AMOUNT: Final = re.compile(r"(\d{1,8})(?:\.(\d{1,2}))?", re.ASCII)


def agorot(amount: str) -> int | None:
    """Return the minor units of ``amount`` (``10``, ``49.9``, ``49.90``), None when it is not an amount."""
    match = _AMOUNT.fullmatch(amount)
    if not match:
        return None
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def plain(minor: int) -> str:
    """Return ``minor`` units in major ones, without needless zeros: 1000 → ``10``, 4990 → ``49.90``."""
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}" + (f".{minor % 100:02d}" if minor % 100 else "")
