"""What a body says: a CCode and a few fields, or nothing that can be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ticketcap_payment.yaadpay.ccodes import CHARGED, CCodeClass, class_of
from ticketcap_payment.yaadpay.wire import Unreadable, parse, text

_MAX_CCODE_DIGITS: Final = 4


class Outcome(StrEnum):
    """Whether a money call moved money."""

    DONE = "done"
    REFUSED = "refused"
    """It certainly did not."""
    NOT_SENT = "not_sent"
    """It certainly did not: YaadPay was not reached. May be tried again."""
    UNKNOWN = "unknown"
    """It may have. Never the same as REFUSED, and never tried again blindly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a money call. ``id`` is the transaction that it made, "" when it told none."""

    outcome: Outcome
    ccode: int | None = None
    id: str = ""
    reason: str = ""
    """For the log, when there is no CCode: what was wrong with the answer."""

    @property
    def ccode_class(self) -> CCodeClass:
        """The class of its CCode; UNKNOWN without one."""
        return CCodeClass.UNKNOWN if self.ccode is None else class_of(self.ccode)


def fields_of(body: bytes) -> Mapping[str, str] | None:
    """Return the fields of an answer, or None for HTML, nothing, or bytes that are no parameters.

    A field that comes twice makes the whole unreadable: which one would count?
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
    """Return the CCode; ``0``, ``00`` and ``000`` are one. None when there is none."""
    spelled = fields.get("CCode", "")
    if not (spelled.isascii() and spelled.isdecimal() and len(spelled) <= _MAX_CCODE_DIGITS):
        return None
    return int(spelled)


def money_answer(body: bytes) -> Answer:
    """Return what the answer to a money call says."""
    fields = fields_of(body)
    if fields is None:
        return Answer(outcome=Outcome.UNKNOWN, reason="HTML, nothing, or unreadable")
    ccode = ccode_of(fields)
    if ccode is None:
        return Answer(outcome=Outcome.UNKNOWN, reason="no CCode")
    transaction = fields.get("Id", "")
    if ccode == CHARGED:
        return Answer(outcome=Outcome.DONE, ccode=ccode, id=transaction if transaction.isdecimal() else "")
    # Held, postponed or "proceed" is no refusal either: what it means for the money nobody says.
    unknown = class_of(ccode) in {CCodeClass.UNKNOWN, CCodeClass.SUCCESS}
    return Answer(outcome=Outcome.UNKNOWN if unknown else Outcome.REFUSED, ccode=ccode)
