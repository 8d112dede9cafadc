"""Compute YaadPay's two signatures: HMAC-SHA256, keyed by KEY, in lower-case hex.

The vendor does not publish the formulas; the tests compare both with the vendor's own samples. VERIFY stays the
authority, and these are a second check.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ticketcap_payment.yaadpay.wire import query

SIGNED_FIELDS: Final = ("Id", "CCode", "Amount", "ACode", "Order", "Fild1", "Fild2", "Fild3")
"""The fields that a return's Sign covers, in this order; every other field is unsigned."""

# HKId precedes them in returns of standing orders, which this service never opens.
_SIGNED: Final = frozenset(name.casefold() for name in (*SIGNED_FIELDS, "Sign", "HKId"))
_UNSIGNED: Final = frozenset({"KEY", "PassP", "What", "User", "Pass", "isHash", "ACTION", "signature"})


def page_signature(parameters: Mapping[str, str], key: str) -> str:
    """Return a page's ``signature``: over all parameters except the secrets, sorted by the bytes of their names."""
    signed = {name: value for name, value in parameters.items() if name not in _UNSIGNED}
    signed["action"] = parameters.get("ACTION", "pay")
    return _hmac(query(sorted(signed.items())), key)


def signs(name: str) -> bool:
    """Say whether ``name``, in any case, is Sign or a field that Sign covers, and so must not be repeated."""
    return name.casefold() in _SIGNED


def return_signature(fields: Mapping[str, bytes], key: str) -> str:
    """Return the ``Sign`` of a return: over the bytes of SIGNED_FIELDS as they came."""
    return _hmac(query((name, fields.get(name, b"")) for name in SIGNED_FIELDS), key)


def is_equal(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _hmac(signed: str, key: str) -> str:
    return hmac.new(key.encode("ascii"), signed.encode("ascii"), hashlib.sha256).hexdigest()
