"""Decide what each test card does.

Some are the vendor's public test cards, some are this simulator's magic numbers.
"""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from ticketcap_yaadpay_simulator.clock import ISRAEL

APPROVED: Final = "5253360311315452"
"""The vendor's newer test card; the page is filled in with it."""
APPROVED_OLD: Final = "5326105300985614"
"""The vendor's older one. Its printed expiry has passed, so expiry is not looked at."""
DECLINED: Final = "4580458045804580"
IMMEDIATE: Final = "5253360000000101"
"""An immediate-debit card (special type 01): approved, but a capture of a hold is refused with 512."""

ISSUER_CODES: Final = frozenset(
    {*range(1, 18), 26, 33, 36, 39, 41, 42, 410, 420, 425, 429, 431, 440, 441, 445, 447, 455, 456, 457, 599, 990, 999}
) - {13}
"""The codes that a card ending in 0NNN gives when it is charged, and one ending in 8NNN at commitTrans."""

CARD_UNREADABLE: Final = 447
EXPIRED: Final = 15
EXPIRY_MALFORMED: Final = 416
DECLINE: Final = 4
_BRANDS: Final = {"4": 2, "5": 1, "2": 1, "37": 4, "34": 4, "36": 3, "30": 3, "38": 3}


class Expiry(NamedTuple):
    """When a card ends: month 1 to 12, year with four digits."""

    month: int
    year: int

    def is_over(self, now: datetime) -> bool:
        """Tell whether the month has passed in Israel."""
        local = now.astimezone(ISRAEL)
        return (self.year, self.month) < (local.year, local.month)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The stored part of a card, without its number."""

    token: str
    """19 digits, the same for the same number in this book."""
    last4: str
    bin: str
    tokef: str
    """Expiry as YYMM."""
    brand: int
    issuer: int
    bank: int
    sp_type: str
    charge_ccode: int
    """The code of a charge: 0 or a refusal."""
    commit_ccode: int
    """The code of a commit of a postponed charge."""

    def as_json(self) -> dict[str, Any]:
        """Return it for the book."""
        return asdict(self)


def expiry_from(month: str, year: str) -> Expiry | None:
    """Read MM and YYYY or YY; None when they are malformed."""
    if not (re.fullmatch(r"\d{1,2}", month, re.ASCII) and re.fullmatch(r"\d{2}|\d{4}", year, re.ASCII)):
        return None
    whole_year = int(year) + (2000 if len(year) == 2 else 0)  # noqa: PLR2004 - two digits of this century
    return Expiry(int(month), whole_year) if 1 <= int(month) <= 12 else None  # noqa: PLR2004 - months


def card_from(number: str, expiry: Expiry, *, token: str, is_test: bool) -> Card:
    """Describe the card of ``number``; whether it is good says ``charge_ccode``."""
    brand = _BRANDS.get(number[:2], _BRANDS.get(number[:1], 5))
    return Card(
        token=token,
        last4=number[-4:],
        bin=number[:6],
        tokef=f"{expiry.year % 100:02d}{expiry.month:02d}",
        brand=brand,
        issuer=2,
        bank=4 if brand == 4 else 6,  # noqa: PLR2004 - Amex clears with itself
        sp_type="01" if number == IMMEDIATE else "0",
        charge_ccode=_charge_ccode(number, is_test=is_test),
        commit_ccode=_magic(number, "8"),
    )


def ignores_expiry(number: str) -> bool:
    """Return whether the card is approved with any expiry."""
    return number == APPROVED_OLD


def is_card_number(number: str) -> bool:
    """Tell whether it could be printed on a card at all."""
    return re.fullmatch(r"\d{8,18}", number, re.ASCII) is not None


def _charge_ccode(number: str, *, is_test: bool) -> int:
    if number in {APPROVED, APPROVED_OLD, IMMEDIATE} or _magic(number, "8"):
        return 0 if is_test else DECLINE
    if number == DECLINED:
        return DECLINE
    if code := _magic(number, "0"):
        return code
    if not _check_digit_is_right(number):
        return CARD_UNREADABLE
    return DECLINE if is_test else 0  # a real card is refused by a test terminal


def _magic(number: str, lead: str) -> int:
    code = int(number[-3:])
    return code if number[-4:-3] == lead and code in ISSUER_CODES else 0


def _check_digit_is_right(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2])  # noqa: PLR2004 - Luhn
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
