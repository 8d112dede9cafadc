"""Read the body of YaadPay's response to a call."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ticketcap_payment.yaadpay.ccodes import SUCCEEDED, CCodeClass, class_of
from ticketcap_payment.yaadpay.wire import Unreadable, parse, text

_MAX_CCODE_DIGITS: Final = 4


class Outcome(StrEnum):
    """Whether a money call moved money."""

    DONE = "done"
    REFUSED = "refused"
    """It certainly did not."""
    NOT_SENT = "not_sent"
    """It certainly did not: YaadPay was not reached. Safe to retry."""
    UNKNOWN = "unknown"
    """It may have. Never the same as REFUSED, and never retried blindly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YaadPayResponse:
    """The response to a money call. ``id`` is the transaction that it made, "" when YaadPay named none."""

    outcome: Outcome
    ccode: int | None = None
    id: str = ""
    problem: str = ""
    """Why there is no CCode."""

    @property
    def ccode_class(self) -> CCodeClass:
        """The class of the CCode; UNKNOWN without one."""
        return CCodeClass.UNKNOWN if self.ccode is None else class_of(self.ccode)


def fields_of(body: bytes) -> Mapping[str, str] | None:
    """Return the fields of a body, or None for HTML, an empty body, or bytes that are no parameters.

    A repeated field makes the whole body unreadable, because either value could be meant.
    """
    trimmed = body.strip()
    if not trimmed or trimmed.startswith(b"<"):
        return None
    try:
        pairs = parse(trimmed)
    except Unreadable:
        return None
    fields = {name: text(value) for name, value in pairs}
    return fields if len(fields) == len(pairs) else None


def ccode_of(fields: Mapping[str, str]) -> int | None:
    """Return the CCode, or None without one; ``0``, ``00`` and ``000`` are equal."""
    digits = fields.get("CCode", "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_CCODE_DIGITS):
        return None
    return int(digits)


def parse_response(body: bytes) -> YaadPayResponse:
    """Read the response to a money call."""
    fields = fields_of(body)
    if fields is None:
        return YaadPayResponse(outcome=Outcome.UNKNOWN, problem="HTML, empty, or unreadable")
    ccode = ccode_of(fields)
    if ccode is None:
        return YaadPayResponse(outcome=Outcome.UNKNOWN, problem="no CCode")
    transaction = fields.get("Id", "")
    if ccode == SUCCEEDED:
        return YaadPayResponse(outcome=Outcome.DONE, ccode=ccode, id=transaction if transaction.isdecimal() else "")
    # Held, postponed or "proceed" is no refusal either: no document says whether money moved.
    unknown = class_of(ccode) in {CCodeClass.UNKNOWN, CCodeClass.SUCCESS}
    return YaadPayResponse(outcome=Outcome.UNKNOWN if unknown else Outcome.REFUSED, ccode=ccode)
