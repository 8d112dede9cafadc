"""Parse the query of a customer's return from YaadPay, without trust.

Only the fields that ``Sign`` covers count, and each of them comes once. Of the other parameters, currency and terminal
are compared with the intent and the rest is ignored: browsers, proxies and the return address add their own, twice or
in any alphabet, without the customer's fault.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ticketcap_payment.yaadpay.amounts import agorot, currency
from ticketcap_payment.yaadpay.ccodes import POSTPONED, SUCCEEDED, CCodeClass, class_of
from ticketcap_payment.yaadpay.response import ccode_of
from ticketcap_payment.yaadpay.signatures import SIGNED_FIELDS, is_equal, return_signature, signs
from ticketcap_payment.yaadpay.wire import MAX_BYTES, Pair, Unreadable, parse, query, text

# The names of our own request. A caller could add them to the signed fields to change the VERIFY call.
_OURS: Final = frozenset({"action", "what", "masof", "key", "passp"})
# Card data and other personal fields, which are never stored. None of them is signed.
_CARD: Final = frozenset(
    {"cc", "cvv", "token", "tokef", "tmonth", "tyear", "bincard", "l4digit", "userid", "brand", "issuer", "cardname"}
)
_MAX_ID_DIGITS: Final = 20
# A decline may lack the other signed fields: it moves no money, and no later call uses its number.
_NEEDED_TO_DECLINE: Final = ("CCode", "Amount", "Order")
_DECLINED: Final = frozenset({CCodeClass.DECLINED, CCodeClass.RETRYABLE, CCodeClass.CONFIG, CCodeClass.STATE})


class InvalidReturn(ValueError):
    """A query that is no return of this terminal; ``reason`` is one of few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A return. ``pairs`` are its parameters as they came, each name once, without the names of our own request."""

    pairs: Sequence[Pair]
    transaction: str
    """YaadPay's number of the transaction; "" for a decline that has none."""
    ccode: int
    amount_agorot: int
    order: str
    currencies: frozenset[str]
    """Unsigned: every currency in the query, usually one."""
    terminals: frozenset[str]
    """Unsigned, and no part of a genuine return: every terminal in the query, usually none."""
    sign: str

    @property
    def is_charged(self) -> bool:
        """Whether the page took money."""
        return self.ccode == SUCCEEDED

    @property
    def is_postponed(self) -> bool:
        """Whether the charge waits for our commit."""
        return self.ccode == POSTPONED

    @property
    def is_unknown(self) -> bool:
        """Whether YaadPay itself does not know the outcome."""
        return class_of(self.ccode) is CCodeClass.UNKNOWN

    @property
    def is_complete(self) -> bool:
        """Whether YaadPay can verify it; a decline without a number lacks a field."""
        return bool(self.transaction) and {name for name, _ in self.pairs} >= set(SIGNED_FIELDS)

    def is_signed_with(self, key: str) -> bool:
        """Say whether Sign is valid under ``key``, by the vendor's unpublished formula."""
        return is_equal(self.sign, return_signature(dict(self.pairs), key))

    @property
    def storable(self) -> str:
        """The parameters as a query, without card data and other personal fields."""
        return query(pair for pair in self.pairs if pair[0].casefold() not in _CARD)


def parse_return(raw: bytes) -> Return:
    """Parse a query string, the part after the question mark. Raises InvalidReturn."""
    try:
        pairs = parse(raw, skip_foreign=True)
    except Unreadable:
        raise InvalidReturn("unreadable") from None
    signed = [name.casefold() for name, _ in pairs if signs(name)]
    if len(set(signed)) < len(signed):
        raise InvalidReturn("doubled")
    fields = {name: text(value) for name, value in pairs if signs(name)}
    ccode = _ccode(fields)
    result = Return(
        pairs=_once(pair for pair in pairs if pair[0].casefold() not in _OURS),
        transaction=_transaction(fields, ccode),
        ccode=ccode,
        amount_agorot=_amount(fields),
        order=fields["Order"],
        # An unknown number matches no payment's currency.
        currencies=frozenset(currency(number) or "unknown" for number in _values(pairs, "coin")),
        terminals=_values(pairs, "masof"),
        sign=fields["Sign"],
    )
    if len(result.storable) > MAX_BYTES:
        # Raw bytes grow when they are encoded, and the stored query must be parseable again.
        raise InvalidReturn("unreadable")
    return result


def _once(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the first pair of each name, so that YaadPay and this service read the same one."""
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair[0].casefold(), pair)
    return list(first.values())


def _values(pairs: Iterable[Pair], folded: str) -> frozenset[str]:
    """Return the non-empty values of a parameter, in any case of its name."""
    return frozenset(text(value).strip() for name, value in pairs if name.casefold() == folded) - {""}


def _ccode(fields: Mapping[str, str]) -> int:
    if any(name not in fields for name in _NEEDED_TO_DECLINE):
        raise InvalidReturn("incomplete")
    if not fields.get("Sign"):
        raise InvalidReturn("unsigned")
    ccode = ccode_of(fields)
    if ccode is None:
        raise InvalidReturn("ccode")
    return ccode


def _transaction(fields: Mapping[str, str], ccode: int) -> str:
    is_decline = class_of(ccode) in _DECLINED
    if not is_decline and any(name not in fields for name in SIGNED_FIELDS):
        raise InvalidReturn("incomplete")
    number = fields.get("Id", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_ID_DIGITS
    if not (is_number or (is_decline and not number)):
        raise InvalidReturn("id")
    return number


def _amount(fields: Mapping[str, str]) -> int:
    amount = agorot(fields["Amount"])
    if amount is None:
        raise InvalidReturn("amount")
    return amount
