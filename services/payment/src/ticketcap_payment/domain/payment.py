"""One attempt to pay for a registration, and every change that it may go through.

Each method returns the payment after the change, or raises; the database holds the same rules.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ticketcap_chassis.errors import InternalError

from ticketcap_payment.domain.errors import NotCaptured, RefundTooLarge
from ticketcap_payment.domain.states import CHARGED, TRANSITIONS, PaymentState, SeatState


class ForbiddenTransition(InternalError):
    """A fault of ours: a payment was to go where it can't."""

    reason = "FORBIDDEN_TRANSITION"

    def __init__(self, payment: UUID, before: PaymentState, after: PaymentState) -> None:
        super().__init__(f"payment {payment} can't go from {before} to {after}", metadata={"payment_id": str(payment)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Amounts are in minor units. ``yaadpay_id`` is the transaction that holds the card, or the charge."""

    id: UUID
    school: str
    registration_id: UUID
    event_id: UUID
    order: str
    masof: str
    amount_agorot: int
    currency: str
    language: str
    idempotency_key: str
    fingerprint: str
    created_at: datetime
    traceparent: str = ""
    """Of the request that opened it."""
    state: PaymentState = PaymentState.CREATED
    seat: SeatState = SeatState.HELD
    redirect_url: str = ""
    yaadpay_id: str = ""
    """The postponed transaction before the capture, the charge after it; "" when the charge's number was lost."""
    ccode: int | None = None
    failure: str = ""
    capture_tries: int = 0
    """How often a charge was sent whose outcome may count."""
    refunded_agorot: int = 0
    refund_pending_agorot: int = 0
    authorised_at: datetime | None = None
    captured_at: datetime | None = None

    def redirected(self, url: str) -> "Payment":
        """The customer may be sent to ``url`` now."""
        return replace(self._to(PaymentState.REDIRECTED), redirect_url=url, failure="")

    def without_page(self, why: str) -> "Payment":
        """The page could not be opened; whoever asks next may try."""
        return replace(self, failure=why)

    def authorised(self, yaadpay_id: str, ccode: int, now: datetime) -> "Payment":
        """YaadPay has the card in transaction ``yaadpay_id``; nothing is charged."""
        return replace(
            self._to(PaymentState.AUTHORISED),
            yaadpay_id=yaadpay_id,
            ccode=ccode,
            failure="",
            seat=SeatState.HELD,
            capture_tries=0,
            authorised_at=now,
        )

    def capture_sent(self) -> "Payment":
        """A charge is about to be asked for; the seat is made sure of."""
        return replace(self, capture_tries=self.capture_tries + 1, seat=SeatState.SECURED)

    def capture_not_sent(self) -> "Payment":
        """The charge that was to be asked for never left."""
        return replace(self, capture_tries=self.capture_tries - 1)

    def captured(self, yaadpay_id: str, ccode: int, now: datetime) -> "Payment":
        """The money is taken, in transaction ``yaadpay_id`` ("" when its number is not known)."""
        # A seat that an earlier try found gone is asked for anew: only then is money without one given back.
        seat = SeatState.HELD if self.seat is SeatState.GONE else self.seat
        after = replace(self._to(PaymentState.CAPTURED), seat=seat, failure="", captured_at=now)
        return replace(after, yaadpay_id=yaadpay_id, ccode=ccode)

    def numbered(self, yaadpay_id: str) -> "Payment":
        """The number of its charge came after all."""
        return replace(self, yaadpay_id=self.yaadpay_id or yaadpay_id)

    def unknown(self, ccode: int | None) -> "Payment":
        """The charge was asked for, and whether it was made is not known."""
        after = self if self.state is PaymentState.UNKNOWN else self._to(PaymentState.UNKNOWN)
        return replace(after, ccode=ccode)

    def failed(self, why: str, ccode: int | None = None) -> "Payment":
        """Nothing is charged, and it ends here; ``why`` is one of few words."""
        return replace(self._to(PaymentState.FAILED), failure=why, ccode=ccode)

    def expired(self, why: str = "not_paid") -> "Payment":
        """Nobody paid in time."""
        return replace(self._to(PaymentState.EXPIRED), failure=why)

    def seat_is(self, seat: SeatState) -> "Payment":
        """The registration service said so."""
        return replace(self, seat=seat)

    @property
    def left_agorot(self) -> int:
        """What can still be given back."""
        return self.amount_agorot - self.refunded_agorot - self.refund_pending_agorot

    def refund_requested(self, amount_agorot: int) -> "Payment":
        """Some or all of it will be given back. Raises NotCaptured and RefundTooLarge."""
        if self.state not in CHARGED:
            raise NotCaptured(self.id, self.state)
        if not 0 < amount_agorot <= self.left_agorot:
            raise RefundTooLarge(self.id, self.left_agorot)
        after = replace(self, refund_pending_agorot=self.refund_pending_agorot + amount_agorot)
        return after if after.left_agorot else after._to(PaymentState.REFUND_PENDING)

    def refund_done(self, amount_agorot: int) -> "Payment":
        """So much of what was pending has been given back."""
        after = replace(
            self,
            refunded_agorot=self.refunded_agorot + amount_agorot,
            refund_pending_agorot=self.refund_pending_agorot - amount_agorot,
        )
        return after if after.refunded_agorot < after.amount_agorot else after._to(PaymentState.REFUNDED)

    def _to(self, state: PaymentState) -> "Payment":
        if state not in TRANSITIONS[self.state]:
            raise ForbiddenTransition(self.id, self.state, state)
        return replace(self, state=state)
