"""Write and sign returns like YaadPay.

The code shares nothing with the service's, so that the two can disagree.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote_from_bytes, urlsplit

from ticketcap_payment.yaadpay.wire import parse

Fields = dict[str, bytes]
SIGNED = ("Id", "CCode", "Amount", "ACode", "Order", "Fild1", "Fild2", "Fild3")


def fields_of(redirect: str) -> Fields:
    """Return the parameters of a redirect."""
    return dict(parse(urlsplit(redirect).query.encode()))


def query(fields: Mapping[str, bytes]) -> bytes:
    return "&".join(f"{name}={quote_from_bytes(value, safe='-._~')}" for name, value in fields.items()).encode()


def signed(fields: Fields, key: str) -> Fields:
    """Sign with any key; a missing field is signed as empty."""
    text = query({name: fields.get(name, b"") for name in SIGNED})
    return {**fields, "Sign": hmac.new(key.encode(), text, hashlib.sha256).hexdigest().encode()}
