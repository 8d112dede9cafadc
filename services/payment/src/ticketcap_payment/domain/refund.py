"""Decide how to refund, and change a refund by the rules."""

import enum
from dataclasses import dataclass, replace
from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from ticketcap_payment.domain.states import RefundReason, RefundState

ISRAEL = ZoneInfo("Asia/Jerusalem")


class Method(enum.StrEnum):
    """YaadPay's two ways to return money."""

    CANCEL = "CANCEL"
    """Undo a whole charge on the same day, before it is transmitted. Safe to send twice."""
    REFUND = "REFUND"
    """Refund any part at any time. Sent twice, it refunds twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money on its way back. ``charge_id`` is YaadPay's number of the charge, "" when it is unknown."""

    id: UUID
    school_slug: str
    school_id: UUID
    payment_id: UUID
    registration_id: UUID
    charge_id: str
    amount_agorot: int
    currency: str
    reason: RefundReason
    idempotency_key: str
    fingerprint: str
    created_at: datetime
    state: RefundState = RefundState.REQUESTED
    method: Method | None = None
    tries: int = 0
    yaadpay_id: str = ""
    ccode: int | None = None
    done_at: datetime | None = None

    def sent(self, method: Method) -> "Refund":
        """Record that the refund is about to be sent."""
        tries = self.tries + 1 if method is self.method else 1
        return replace(self, state=RefundState.SENT, method=method, tries=tries)

    def not_sent(self) -> "Refund":
        """Record that the refund never reached YaadPay."""
        return replace(self, state=RefundState.REQUESTED, tries=self.tries - 1)

    def not_cancellable(self) -> "Refund":
        """Switch to a refund: the charge is transmitted and can't be undone."""
        return replace(self, state=RefundState.REQUESTED, method=Method.REFUND, tries=0)

    def refused(self, ccode: int | None) -> "Refund":
        """Record YaadPay's refusal; no money moved."""
        return replace(self, state=RefundState.REFUSED, ccode=ccode)

    def reopened(self, charge_id: str) -> "Refund":
        """Start over, once it is certain that no money moved."""
        return replace(self, state=RefundState.REQUESTED, method=None, tries=0, charge_id=charge_id)

    def unknown(self, ccode: int | None) -> "Refund":
        """Record a lost answer; money may have moved."""
        return replace(self, state=RefundState.UNKNOWN, ccode=ccode)

    def done(self, yaadpay_id: str, ccode: int, now: datetime) -> "Refund":
        """Record that the money went back."""
        return replace(self, state=RefundState.DONE, yaadpay_id=yaadpay_id, ccode=ccode, done_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRule:
    """When to undo a charge instead of refunding it. ``cutoff`` is a time of day in Israel."""

    cutoff: time
    preferred: bool

    def method_of(self, refund: Refund, *, charged_agorot: int, charged_at: datetime, now: datetime) -> Method:
        """Return the method for ``refund`` of a charge of ``charged_agorot`` at ``charged_at``."""
        whole = refund.amount_agorot == charged_agorot
        return Method.CANCEL if self.preferred and whole and self._in_time(charged_at, now) else Method.REFUND

    def _in_time(self, charged_at: datetime, now: datetime) -> bool:
        charged, here = charged_at.astimezone(ISRAEL), now.astimezone(ISRAEL)
        # YaadPay does not document when it transmits a charge made after the cut-off: at once, or a day later.
        return here.date() == charged.date() and charged.time() < self.cutoff and here.time() < self.cutoff


def due_on_cancellation(*, refundable_agorot: int, refund_agorot: int | None) -> int:
    """Return the agorot that a cancelled registration gets back: the organiser's choice, or the whole rest."""
    return refundable_agorot if refund_agorot is None else min(refundable_agorot, refund_agorot)
