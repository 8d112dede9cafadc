"""Classify the codes that YaadPay and Shva (the national switch) send.

Codes up to 200 come from Shva, the others from YaadPay. Some have two meanings. The classes are chosen so that both
meanings lead to the same action, except where a caller knows more.
"""

from enum import StrEnum
from typing import Final

SUCCEEDED: Final = 0
FORGED_OR_MISSING: Final = 200
NOT_FOUND_OR_DONE: Final = 250
POSTPONED: Final = 800
NOT_AUTHENTICATED: Final = 902
CANCELLED: Final = 998


class CCodeClass(StrEnum):
    """The action that a response calls for."""

    SUCCESS = "success"
    """Done, held or postponed, as requested."""
    DECLINED = "declined"
    """The card is refused; another card may succeed."""
    RETRYABLE = "retryable"
    """The customer made a typing error; the same card may succeed."""
    CONFIG = "config"
    """The terminal or our request is wrong; an operator must correct it."""
    STATE = "state"
    """The transaction is in another state than the call assumes."""
    UNKNOWN = "unknown"
    """The outcome is unknown. Also every code that is in no table."""


def _codes(*ranges: int | tuple[int, int]) -> frozenset[int]:
    numbers: set[int] = set()
    for item in ranges:
        numbers |= {item} if isinstance(item, int) else set(range(item[0], item[1] + 1))
    return frozenset(numbers)


_CLASSES: Final = {
    CCodeClass.SUCCESS: _codes(0, 600, 700, 777, 800),
    CCodeClass.DECLINED: _codes((1, 5), 7, (11, 14), 36, 39, 410, 429, 440, 441, (455, 457), 445, 482, 512),
    CCodeClass.RETRYABLE: _codes(6, 8, 15, 26, 420, (447, 449), 990),
    CCodeClass.STATE: _codes(10, 250, 425, 443, 453, 500, 920, 995, 998),
    CCodeClass.UNKNOWN: _codes(9, 422, 431, 451, 509, (551, 567), 598, 599, 999),
    CCodeClass.CONFIG: _codes(
        16, 17, 33, 41, 42, (51, 193), 200, (300, 385), (400, 408), (414, 419), 421, 424, 426, 428, (432, 436), 439,
        442, 450, 452, 458, (470, 481), (483, 498), (504, 507), (701, 731), (901, 906), 910, 996, 997,
    ),
}  # fmt: skip

_CLASS_OF: Final = {code: kind for kind, codes in _CLASSES.items() for code in codes}


def class_of(ccode: int) -> CCodeClass:
    """Return the class of a code; UNKNOWN for one that is in no table."""
    return _CLASS_OF.get(ccode, CCodeClass.UNKNOWN)
