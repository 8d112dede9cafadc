"""Name each refusal of the rules of money.

ServiceError
├─ PaymentNotFound                             NotFound
├─ PaymentRunning                              AlreadyExists
├─ FreeEvent, HoldExpired, NotAHold, NotCaptured, ReturnRefused, NotEscalated   FailedPrecondition
├─ RefundTooLarge, IdempotencyKeyReused        InvalidInput
├─ IdempotencyInFlight, PaymentOpening         Aborted
├─ TooManyReturns, TooManyPayments             Busy
├─ PageUnavailable                             Unavailable
└─ ForbiddenTransition                         InternalError
"""

from uuid import UUID

from ticketcap_chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    NotFound,
    Unavailable,
)

from ticketcap_payment.domain.states import PaymentState


class PaymentNotFound(NotFound):
    """Not found, or not visible to this caller."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, payment: str) -> None:
        super().__init__(f"no payment {payment!r}", metadata={"payment_id": payment})


class PaymentRunning(AlreadyExists):
    """The registration has a running or captured payment, or the payment with this idempotency key has ended."""

    reason = "PAYMENT_RUNNING"

    def __init__(self, registration: UUID, payment: UUID, state: str, redirect_url: str) -> None:
        metadata = {"registration_id": str(registration), "payment_id": str(payment), "state": state}
        if redirect_url:
            metadata["redirect_url"] = redirect_url
        ended = state in {PaymentState.FAILED, PaymentState.EXPIRED}
        advice = "open another one with a new Idempotency-Key" if ended else "continue with that one"
        super().__init__(
            f"registration {registration} has payment {payment} in state {state}; {advice}", metadata=metadata
        )


class FreeEvent(FailedPrecondition):
    """The registration costs nothing."""

    reason = "FREE_EVENT"

    def __init__(self, registration: UUID) -> None:
        metadata = {"registration_id": str(registration)}
        super().__init__(f"registration {registration} costs nothing; no payment is needed", metadata=metadata)


class HoldExpired(FailedPrecondition):
    """The hold expired or was cancelled; its spots may belong to another registration."""

    reason = "HOLD_EXPIRED"

    def __init__(self, registration: UUID, status: str) -> None:
        metadata = {"registration_id": str(registration), "status": status}
        super().__init__(f"the hold of registration {registration} is {status}; register again", metadata=metadata)


class NotAHold(FailedPrecondition):
    """The registration is waitlisted or already confirmed."""

    reason = "NOT_A_HOLD"

    def __init__(self, registration: UUID, status: str) -> None:
        metadata = {"registration_id": str(registration), "status": status}
        super().__init__(
            f"registration {registration} is {status}; only a hold (PENDING_PAYMENT) can be paid for",
            metadata=metadata,
        )


class NotCaptured(FailedPrecondition):
    """The payment took no money, so there is none to refund."""

    reason = "NOT_CAPTURED"

    def __init__(self, payment: UUID, state: str) -> None:
        metadata = {"payment_id": str(payment), "state": state}
        super().__init__(f"payment {payment} is {state}; only a captured payment can be refunded", metadata=metadata)


class ReturnRefused(FailedPrecondition):
    """YaadPay did not send this return, or not for this payment. Nothing was changed."""

    reason = "RETURN_REFUSED"

    def __init__(self, why: str, order: str = "") -> None:
        metadata = {"why": why, **({"order": order} if order else {})}
        super().__init__(f"this return is not genuine ({why}); nothing was changed", metadata=metadata)


class NotEscalated(FailedPrecondition):
    """No open escalation of this kind and id."""

    reason = "NOT_ESCALATED"

    def __init__(self, kind: str, subject: str) -> None:
        super().__init__(f"{kind} {subject} has no open escalation", metadata={"kind": kind, "id": subject})


class RefundTooLarge(InvalidInput):
    """The refund exceeds the refundable rest of the payment."""

    reason = "REFUND_TOO_LARGE"

    def __init__(self, payment: UUID, refundable_agorot: int) -> None:
        of = InvalidInput.of(
            "amount_agorot", f"must be at most {refundable_agorot}, the refundable rest of the payment"
        )
        metadata = {"payment_id": str(payment), "left": str(refundable_agorot)}
        super().__init__(of.message, metadata=metadata, fields=of.fields)


class IdempotencyKeyReused(InvalidInput):
    """The key came before with another body."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("this idempotency key came with another body before; use a new one")


class IdempotencyInFlight(Aborted):
    """The first request with this key is still running."""

    reason = "IDEMPOTENCY_IN_FLIGHT"

    def __init__(self) -> None:
        super().__init__("the first request with this idempotency key is still being served; retry")


class PaymentOpening(Aborted):
    """YaadPay is signing the page of another payment of this registration."""

    reason = "PAYMENT_OPENING"

    def __init__(self, registration: UUID) -> None:
        metadata = {"registration_id": str(registration)}
        super().__init__(f"another payment of registration {registration} is being opened; retry", metadata=metadata)


class TooManyReturns(Busy):
    """The payment has more different returns than a customer can cause."""

    reason = "TOO_MANY_RETURNS"
    default_retry_after = 3600.0

    def __init__(self, payment: UUID, limit: int) -> None:
        super().__init__(f"payment {payment} has {limit} returns already", metadata={"payment_id": str(payment)})


class TooManyPayments(Busy):
    """The registration has used up its attempts to pay."""

    reason = "TOO_MANY_PAYMENTS"
    default_retry_after = 3600.0

    def __init__(self, registration: UUID, limit: int) -> None:
        metadata = {"registration_id": str(registration)}
        super().__init__(f"registration {registration} has made {limit} attempts to pay", metadata=metadata)


class PageUnavailable(Unavailable):
    """YaadPay signs no payment page at the moment; nothing was charged."""

    reason = "YAADPAY_UNAVAILABLE"
    default_retry_after = 5.0

    def __init__(self, payment: UUID) -> None:
        super().__init__(
            f"YaadPay does not open a page for payment {payment}; nothing was charged, try again",
            metadata={"payment_id": str(payment)},
        )


class ForbiddenTransition(InternalError):
    """A bug: the code asked for a state change that the rules forbid."""

    reason = "FORBIDDEN_TRANSITION"

    def __init__(self, payment: UUID, before: PaymentState, after: PaymentState) -> None:
        super().__init__(f"payment {payment} can't go from {before} to {after}", metadata={"payment_id": str(payment)})
