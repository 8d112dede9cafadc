"""Money on its way back: how much of a cancelled registration's, and the changes that a refund goes through."""

import enum
from dataclasses import dataclass, replace
from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from ticketcap_payment.domain.states import RefundReason, RefundState

ISRAEL = ZoneInfo("Asia/Jerusalem")


class Method(enum.StrEnum):
    """How YaadPay is asked."""

    CANCEL = "CANCEL"
    """Undo a charge before it is transmitted: whole, same day, and harmless to ask for twice."""
    REFUND = "REFUND"
    """Give back any part at any time. Asked for twice it gives twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """``charge_id`` is YaadPay's number of the charge that is given back, "" when it is not known."""

    id: UUID
    school: str
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
        """It is about to be asked for."""
        tries = self.tries + 1 if method is self.method else 1
        return replace(self, state=RefundState.SENT, method=method, tries=tries)

    def not_sent(self) -> "Refund":
        """What was to be asked for never left."""
        return replace(self, state=RefundState.REQUESTED, tries=self.tries - 1)

    def not_undone(self) -> "Refund":
        """The charge is transmitted already: it has to be refunded instead."""
        return replace(self, state=RefundState.REQUESTED, method=Method.REFUND, tries=0)

    def refused(self, ccode: int | None) -> "Refund":
        """YaadPay said no: no money moved."""
        return replace(self, state=RefundState.REFUSED, ccode=ccode)

    def again(self, charge_id: str) -> "Refund":
        """Ask once more: it is certain that no money moved."""
        return replace(self, state=RefundState.REQUESTED, method=None, tries=0, charge_id=charge_id)

    def unknown(self, ccode: int | None) -> "Refund":
        """The answer was lost: money may have moved."""
        return replace(self, state=RefundState.UNKNOWN, ccode=ccode)

    def done(self, yaadpay_id: str, ccode: int, now: datetime) -> "Refund":
        """The money is given back."""
        return replace(self, state=RefundState.DONE, yaadpay_id=yaadpay_id, ccode=ccode, done_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRule:
    """When a charge may be undone rather than refunded. ``cutoff`` is a time of day in Israel."""

    cutoff: time
    preferred: bool

    def method_of(self, refund: Refund, *, charged_agorot: int, charged_at: datetime, now: datetime) -> Method:
        """Return how to ask for ``refund`` of a charge that took ``charged_agorot`` at ``charged_at``."""
        whole = refund.amount_agorot == charged_agorot
        return Method.CANCEL if self.preferred and whole and self._in_time(charged_at, now) else Method.REFUND

    def _in_time(self, charged_at: datetime, now: datetime) -> bool:
        charged, here = charged_at.astimezone(ISRAEL), now.astimezone(ISRAEL)
        # What is charged after the cut-off may be transmitted at once or a day later: nobody says.
        return here.date() == charged.date() and charged.time() < self.cutoff and here.time() < self.cutoff


def due_on_cancellation(*, left_agorot: int, refund_agorot: int | None) -> int:
    """Return what a cancelled registration gets back: all that is left, or what the organiser chose."""
    return left_agorot if refund_agorot is None else min(left_agorot, refund_agorot)
