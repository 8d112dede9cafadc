"""Compute both signatures: HMAC-SHA256 in lower-case hexadecimal.

The secret is the ASCII of the terminal's KEY.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from ticketcap_yaadpay_simulator.protocol.encoding import percent
from ticketcap_yaadpay_simulator.protocol.parameters import Pair

RETURN_FIELDS: Final = ("Id", "CCode", "Amount", "ACode", "Order", "Fild1", "Fild2", "Fild3")
"""The fields that a redirect's ``Sign`` covers, in this order; ``HKId`` comes first when it is present."""
_NEVER_SIGNED: Final = frozenset({"KEY", "PassP", "What", "User", "Pass", "isHash", "ACTION", "action"})


def digest(key: str, content: str) -> str:
    """Return the HMAC of ``content``."""
    return hmac.new(key.encode("ascii"), content.encode("ascii"), hashlib.sha256).hexdigest()


def same(first: str, second: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(first.encode(), second.encode())


def page_string(pairs: Iterable[Pair], action: str = "pay") -> str:
    """Return the canonical string of a page: sorted by name in byte order, values percent-encoded."""
    signed = [(name, value) for name, value in pairs if name not in _NEVER_SIGNED]
    ordered = sorted([*signed, ("action", action.encode())], key=lambda pair: pair[0].encode())
    return "&".join(f"{_plain(name)}={percent(value)}" for name, value in ordered)


def return_string(values: Iterable[Pair]) -> str:
    """Return the string of a redirect, from its fields in the order of the wire."""
    return "&".join(f"{name}={percent(value)}" for name, value in values)


def _plain(name: str) -> str:
    # Names stand as they are; one that is no plain ASCII can't, or it would leave the query string.
    return name if name.isascii() and name.replace(".", "").replace("_", "").isalnum() else percent(name.encode())
