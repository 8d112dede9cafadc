"""What comes back from YaadPay with the customer's browser, read strictly and without trust.

Only the fields that ``Sign`` covers say anything; what stands beside them is compared where we know better, and
otherwise ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ticketcap_payment.yaadpay.amounts import agorot, currency
from ticketcap_payment.yaadpay.answer import ccode_of
from ticketcap_payment.yaadpay.ccodes import CHARGED, POSTPONED, CCodeClass, class_of
from ticketcap_payment.yaadpay.signatures import SIGNED_FIELDS, is_equal, return_signature
from ticketcap_payment.yaadpay.wire import MAX_BYTES, Pair, Unreadable, parse, query, text

# What a caller could put beside the signed fields to change what is asked of YaadPay: the names of our own request.
_OURS: Final = frozenset({"action", "what", "masof", "key", "passp"})
# What a card's owner would not want kept, and what nobody needs again: none of it is signed.
_CARD: Final = frozenset(
    {"cc", "cvv", "token", "tokef", "tmonth", "tyear", "bincard", "l4digit", "userid", "brand", "issuer", "cardname"}
)
_MAX_ID_DIGITS: Final = 20


class ReturnUnreadable(ValueError):
    """It can't be a return; ``why`` is one of few words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One return. ``pairs`` are its parameters as they came, cleared of the names of our own request."""

    pairs: Sequence[Pair]
    transaction: str
    """YaadPay's number of the transaction."""
    ccode: int
    amount_agorot: int
    order: str
    currency: str | None
    """Unsigned: None when it was not told."""
    masof: str | None
    """Unsigned, and no part of a return: None when it was not told."""
    sign: str

    @property
    def is_charged(self) -> bool:
        """Whether it says that money was taken."""
        return self.ccode == CHARGED

    @property
    def is_postponed(self) -> bool:
        """Whether it says that a charge waits for our word."""
        return self.ccode == POSTPONED

    @property
    def is_unknown(self) -> bool:
        """Whether YaadPay says that it does not know the outcome itself."""
        return class_of(self.ccode) is CCodeClass.UNKNOWN

    def is_signed_with(self, key: str) -> bool:
        """Say whether Sign is ours to believe, by the formula that the vendor does not publish."""
        return is_equal(self.sign, return_signature(dict(self.pairs), key))

    @property
    def storable(self) -> str:
        """The parameters as a query, without what a card's owner would not want kept."""
        return query(pair for pair in self.pairs if pair[0].casefold() not in _CARD)


def read_return(raw: bytes) -> Returned:
    """Return what ``raw``, everything behind the question mark, says. Raises ReturnUnreadable."""
    try:
        pairs = parse(raw)
    except Unreadable:
        raise ReturnUnreadable("unreadable") from None
    names = [name.casefold() for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ReturnUnreadable("doubled")
    fields = {name: text(value) for name, value in pairs}
    returned = Returned(
        pairs=[pair for pair in pairs if pair[0].casefold() not in _OURS],
        transaction=_transaction(fields),
        ccode=_ccode(fields),
        amount_agorot=_amount(fields),
        order=fields["Order"],
        currency=_currency(fields),
        masof=next((value for name, value in fields.items() if name.casefold() == "masof"), None),
        sign=fields["Sign"],
    )
    if len(returned.storable) > MAX_BYTES:
        # Raw bytes grow when they are encoded; what is kept must be readable again.
        raise ReturnUnreadable("unreadable")
    return returned


def _transaction(fields: Mapping[str, str]) -> str:
    if any(name not in fields for name in SIGNED_FIELDS):
        raise ReturnUnreadable("incomplete")
    if not fields.get("Sign"):
        raise ReturnUnreadable("unsigned")
    number = fields["Id"]
    if not (number.isascii() and number.isdecimal() and len(number) <= _MAX_ID_DIGITS):
        raise ReturnUnreadable("id")
    return number


def _ccode(fields: Mapping[str, str]) -> int:
    ccode = ccode_of(fields)
    if ccode is None:
        raise ReturnUnreadable("ccode")
    return ccode


def _amount(fields: Mapping[str, str]) -> int:
    amount = agorot(fields["Amount"])
    if amount is None:
        raise ReturnUnreadable("amount")
    return amount


def _currency(fields: Mapping[str, str]) -> str | None:
    if "Coin" not in fields:
        return None
    # A number that stands for no currency is as wrong as another one.
    return currency(fields["Coin"]) or "unknown"
