"""Change a payment by the rules of money.

Each method returns the payment after the change, or raises. The database holds the same rules.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ticketcap_payment.domain.errors import ForbiddenTransition, NotCaptured, RefundTooLarge
from ticketcap_payment.domain.states import CHARGED, TRANSITIONS, PaymentState, SeatState


@dataclass(frozen=True, slots=True)
class PaymentKey:
    """The ids by which a payment is found, and its school."""

    id: UUID
    registration_id: UUID
    school_slug: str
    school_id: UUID
    school_synthetic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One attempt to pay for a registration. Amounts are in minor units."""

    id: UUID
    school_slug: str
    school_id: UUID
    school_synthetic: bool = False
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
    """Of the request that opened the payment."""
    state: PaymentState = PaymentState.CREATED
    seat: SeatState = SeatState.HELD
    redirect_url: str = ""
    yaadpay_id: str = ""
    """The postponed transaction before the capture, the charge after it; "" when the charge's number was lost."""
    ccode: int | None = None
    failure: str = ""
    capture_tries: int = 0
    """The number of charges sent whose outcome may count."""
    refunded_agorot: int = 0
    refund_pending_agorot: int = 0
    authorised_at: datetime | None = None
    captured_at: datetime | None = None

    @property
    def key(self) -> PaymentKey:
        """The ids by which this payment is found."""
        return PaymentKey(self.id, self.registration_id, self.school_slug, self.school_id, self.school_synthetic)

    @property
    def refundable_agorot(self) -> int:
        """The part that is neither refunded nor about to be."""
        return self.amount_agorot - self.refunded_agorot - self.refund_pending_agorot

    def redirected(self, url: str) -> "Payment":
        """Record the signed page; the customer may be sent there now."""
        return replace(self._to(PaymentState.REDIRECTED), redirect_url=url, failure="")

    def page_failed(self, reason: str) -> "Payment":
        """Record that the page could not be opened; the next request may try."""
        return replace(self, failure=reason)

    def authorised(self, yaadpay_id: str, ccode: int, now: datetime) -> "Payment":
        """Record that YaadPay has the card in transaction ``yaadpay_id``; nothing is charged."""
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
        """Record that a charge is about to be sent; the seat is secured."""
        return replace(self, capture_tries=self.capture_tries + 1, seat=SeatState.SECURED)

    def capture_not_sent(self) -> "Payment":
        """Record that the charge never reached YaadPay."""
        return replace(self, capture_tries=self.capture_tries - 1)

    def captured(self, yaadpay_id: str, ccode: int, now: datetime) -> "Payment":
        """Record the money, taken in transaction ``yaadpay_id`` ("" when its number is unknown)."""
        # An earlier try may have found the seat gone. It is requested once more; only then is the money refunded.
        seat = SeatState.HELD if self.seat is SeatState.GONE else self.seat
        after = replace(self._to(PaymentState.CAPTURED), seat=seat, failure="", captured_at=now)
        return replace(after, yaadpay_id=yaadpay_id, ccode=ccode)

    def with_charge(self, yaadpay_id: str) -> "Payment":
        """Record the number of the charge, learnt after the capture."""
        return replace(self, yaadpay_id=self.yaadpay_id or yaadpay_id)

    def unknown(self, ccode: int | None) -> "Payment":
        """Record a charge whose outcome is unknown."""
        after = self if self.state is PaymentState.UNKNOWN else self._to(PaymentState.UNKNOWN)
        return replace(after, ccode=ccode)

    def failed(self, reason: str, ccode: int | None = None) -> "Payment":
        """End the payment without a charge; ``reason`` is one of few words."""
        return replace(self._to(PaymentState.FAILED), failure=reason, ccode=ccode)

    def expired(self, reason: str = "not_paid") -> "Payment":
        """End the payment because the customer did not pay in time."""
        return replace(self._to(PaymentState.EXPIRED), failure=reason)

    def with_seat(self, seat: SeatState) -> "Payment":
        """Record the registration service's answer about the seat."""
        return replace(self, seat=seat)

    def refund_requested(self, amount_agorot: int) -> "Payment":
        """Reserve an amount for a refund. Raises NotCaptured and RefundTooLarge."""
        if self.state not in CHARGED:
            raise NotCaptured(self.id, self.state)
        if not 0 < amount_agorot <= self.refundable_agorot:
            raise RefundTooLarge(self.id, self.refundable_agorot)
        after = replace(self, refund_pending_agorot=self.refund_pending_agorot + amount_agorot)
        return after if after.refundable_agorot else after._to(PaymentState.REFUND_PENDING)

    def refund_done(self, amount_agorot: int) -> "Payment":
        """Turn a pending amount into a refunded one."""
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
