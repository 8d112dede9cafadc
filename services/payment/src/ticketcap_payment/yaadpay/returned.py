"""Read a customer's return from YaadPay strictly and without trust.

Only the fields that ``Sign`` covers say anything, and each of them comes once. A parameter beside them is compared
where this service knows better (currency, terminal) and otherwise ignored: browsers, proxies and the return address
itself add their own, twice or in any alphabet, and the customer is not to blame.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ticketcap_payment.yaadpay.amounts import agorot, currency
from ticketcap_payment.yaadpay.answer import ccode_of
from ticketcap_payment.yaadpay.ccodes import CHARGED, POSTPONED, CCodeClass, class_of
from ticketcap_payment.yaadpay.signatures import SIGNED_FIELDS, is_equal, return_signature, signs
from ticketcap_payment.yaadpay.wire import MAX_BYTES, Pair, Unreadable, parse, query, text

# What a caller could put beside the signed fields to change what is asked of YaadPay: the names of our own request.
_OURS: Final = frozenset({"action", "what", "masof", "key", "passp"})
# What a card's owner would not want kept, and what nobody needs again: none of it is signed.
_CARD: Final = frozenset(
    {"cc", "cvv", "token", "tokef", "tmonth", "tyear", "bincard", "l4digit", "userid", "brand", "issuer", "cardname"}
)
_MAX_ID_DIGITS: Final = 20
# What a decline may lack: it moves no money, and nothing is ever asked of YaadPay by its number.
_NEEDED_TO_DECLINE: Final = ("CCode", "Amount", "Order")
_DECLINED: Final = frozenset({CCodeClass.DECLINED, CCodeClass.RETRYABLE, CCodeClass.CONFIG, CCodeClass.STATE})


class ReturnUnreadable(ValueError):
    """It can't be a return; ``why`` is one of few words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One return. ``pairs`` are its parameters as they came, each name once, without those of our own request."""

    pairs: Sequence[Pair]
    transaction: str
    """YaadPay's number of the transaction; "" for a decline that has none."""
    ccode: int
    amount_agorot: int
    order: str
    currencies: frozenset[str]
    """Unsigned: every currency that it names, mostly one."""
    terminals: frozenset[str]
    """Unsigned, and no part of a return: every terminal that it names, mostly none."""
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

    @property
    def is_complete(self) -> bool:
        """Whether it has all that YaadPay needs to vouch for it; a decline without its number does not."""
        return bool(self.transaction) and {name for name, _ in self.pairs} >= set(SIGNED_FIELDS)

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
        pairs = parse(raw, skip_foreign=True)
    except Unreadable:
        raise ReturnUnreadable("unreadable") from None
    signed = [name.casefold() for name, _ in pairs if signs(name)]
    if len(set(signed)) < len(signed):
        raise ReturnUnreadable("doubled")
    fields = {name: text(value) for name, value in pairs if signs(name)}
    ccode = _ccode(fields)
    returned = Returned(
        pairs=_once(pair for pair in pairs if pair[0].casefold() not in _OURS),
        transaction=_transaction(fields, ccode),
        ccode=ccode,
        amount_agorot=_amount(fields),
        order=fields["Order"],
        # A number that stands for no currency is as wrong as another one.
        currencies=frozenset(currency(number) or "unknown" for number in _values(pairs, "coin")),
        terminals=_values(pairs, "masof"),
        sign=fields["Sign"],
    )
    if len(returned.storable) > MAX_BYTES:
        # Raw bytes grow when they are encoded; what is kept must be readable again.
        raise ReturnUnreadable("unreadable")
    return returned


def _once(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the first pair of each name: YaadPay is shown no name twice, so that it can't read another one than we."""
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair[0].casefold(), pair)
    return list(first.values())


def _values(pairs: Iterable[Pair], folded: str) -> frozenset[str]:
    """Return what a parameter says, whatever its case and however often it comes; an empty one says nothing."""
    return frozenset(text(value).strip() for name, value in pairs if name.casefold() == folded) - {""}


def _ccode(fields: Mapping[str, str]) -> int:
    if any(name not in fields for name in _NEEDED_TO_DECLINE):
        raise ReturnUnreadable("incomplete")
    if not fields.get("Sign"):
        raise ReturnUnreadable("unsigned")
    ccode = ccode_of(fields)
    if ccode is None:
        raise ReturnUnreadable("ccode")
    return ccode


def _transaction(fields: Mapping[str, str], ccode: int) -> str:
    is_decline = class_of(ccode) in _DECLINED
    if not is_decline and any(name not in fields for name in SIGNED_FIELDS):
        raise ReturnUnreadable("incomplete")
    number = fields.get("Id", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_ID_DIGITS
    if not (is_number or (is_decline and not number)):
        raise ReturnUnreadable("id")
    return number


def _amount(fields: Mapping[str, str]) -> int:
    amount = agorot(fields["Amount"])
    if amount is None:
        raise ReturnUnreadable("amount")
    return amount
