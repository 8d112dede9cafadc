"""What the rules of money refuse, each error named for the fact.

ServiceError
├─ PaymentNotFound, RegistrationNotFound       NotFound
├─ PaymentRunning                              AlreadyExists
├─ FreeEvent, HoldOver, NothingToPay, NotCaptured, ReturnRefused, NotEscalated   FailedPrecondition
├─ RefundTooLarge, IdempotencyKeyReused        InvalidInput
├─ IdempotencyInFlight, PaymentOpening         Aborted
├─ TooManyReturns, TooManyPayments             Busy
└─ YaadPayAway                                 Unavailable
"""

from uuid import UUID

from ticketcap_chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)

from ticketcap_payment.domain.states import PaymentState


class PaymentNotFound(NotFound):
    """No such payment for this caller: unknown, another's, or a wrong token."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, payment: str) -> None:
        super().__init__(f"no payment {payment!r}", metadata={"payment_id": payment})


class RegistrationNotFound(NotFound):
    """No such registration for this caller."""

    reason = "REGISTRATION_NOT_FOUND"

    def __init__(self, registration: str) -> None:
        super().__init__(f"no registration {registration!r}", metadata={"registration_id": registration})


class PaymentRunning(AlreadyExists):
    """The registration has a payment under way, or is paid; or the payment that was asked for again has ended."""

    reason = "PAYMENT_RUNNING"

    def __init__(self, registration: UUID, payment: UUID, state: str, redirect_url: str) -> None:
        metadata = {"registration_id": str(registration), "payment_id": str(payment), "state": state}
        if redirect_url:
            metadata["redirect_url"] = redirect_url
        ended = state in {PaymentState.FAILED, PaymentState.EXPIRED}
        what_to_do = "open another one with a new Idempotency-Key" if ended else "go on with that one"
        super().__init__(
            f"registration {registration} has payment {payment} in state {state}; {what_to_do}", metadata=metadata
        )


class FreeEvent(FailedPrecondition):
    """There is nothing to pay."""

    reason = "FREE_EVENT"

    def __init__(self, registration: UUID) -> None:
        super().__init__(
            f"registration {registration} costs nothing; no payment is needed",
            metadata={"registration_id": str(registration)},
        )


class HoldOver(FailedPrecondition):
    """The hold expired or was cancelled: the spots are somebody else's now."""

    reason = "HOLD_EXPIRED"

    def __init__(self, registration: UUID, status: str) -> None:
        super().__init__(
            f"the hold of registration {registration} is over ({status}); register again",
            metadata={"registration_id": str(registration), "status": status},
        )


class NothingToPay(FailedPrecondition):
    """The registration is no hold: it waits, or it is confirmed already."""

    reason = "NOT_A_HOLD"

    def __init__(self, registration: UUID, status: str) -> None:
        super().__init__(
            f"registration {registration} is {status}; only a hold (PENDING_PAYMENT) can be paid for",
            metadata={"registration_id": str(registration), "status": status},
        )


class NotCaptured(FailedPrecondition):
    """No money was taken, so none can be given back."""

    reason = "NOT_CAPTURED"

    def __init__(self, payment: UUID, state: str) -> None:
        super().__init__(
            f"payment {payment} is {state}; only a captured payment can be refunded",
            metadata={"payment_id": str(payment), "state": state},
        )


class ReturnRefused(FailedPrecondition):
    """A return that YaadPay did not send, or not for this payment. Nothing was changed."""

    reason = "RETURN_REFUSED"

    def __init__(self, why: str, order: str = "") -> None:
        metadata = {"why": why, **({"order": order} if order else {})}
        super().__init__(f"this return is not genuine ({why}); nothing was changed", metadata=metadata)
        self.why = why


class NotEscalated(FailedPrecondition):
    """Nothing waits for a person here."""

    reason = "NOT_ESCALATED"

    def __init__(self, kind: str, subject: str) -> None:
        super().__init__(f"{kind} {subject} does not wait for a person", metadata={"kind": kind, "id": subject})


class RefundTooLarge(InvalidInput):
    """More than what is left of the payment."""

    reason = "REFUND_TOO_LARGE"

    def __init__(self, payment: UUID, left_agorot: int) -> None:
        of = InvalidInput.of("amount_agorot", f"must be at most {left_agorot}, what is left of the payment")
        super().__init__(of.message, metadata={"payment_id": str(payment), "left": str(left_agorot)}, fields=of.fields)


class IdempotencyKeyReused(InvalidInput):
    """The key came before with another body."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("this idempotency key came with another body before; use a new one")


class IdempotencyInFlight(Aborted):
    """The first request with this key is not done yet."""

    reason = "IDEMPOTENCY_IN_FLIGHT"

    def __init__(self) -> None:
        super().__init__("the first request with this idempotency key is still being served; ask again")


class PaymentOpening(Aborted):
    """Another payment of the registration is having its page made at this moment."""

    reason = "PAYMENT_OPENING"

    def __init__(self, registration: UUID) -> None:
        super().__init__(
            f"another payment of registration {registration} is being opened; ask again",
            metadata={"registration_id": str(registration)},
        )


class TooManyReturns(Busy):
    """More different returns than anybody can have paid."""

    reason = "TOO_MANY_RETURNS"
    default_retry_after = 3600.0

    def __init__(self, payment: UUID, limit: int) -> None:
        super().__init__(f"payment {payment} has {limit} returns already", metadata={"payment_id": str(payment)})


class TooManyPayments(Busy):
    """More attempts than one registration may make."""

    reason = "TOO_MANY_PAYMENTS"
    default_retry_after = 3600.0

    def __init__(self, registration: UUID, limit: int) -> None:
        super().__init__(
            f"registration {registration} has made {limit} attempts to pay",
            metadata={"registration_id": str(registration)},
        )


class YaadPayAway(Unavailable):
    """The payment page can't be opened now; nothing was charged."""

    reason = "YAADPAY_UNAVAILABLE"
    default_retry_after = 5.0

    def __init__(self, payment: UUID) -> None:
        super().__init__(
            f"YaadPay does not open a page for payment {payment}; nothing was charged, try again",
            metadata={"payment_id": str(payment)},
        )
