"""List the states of payments, seats and refunds, and their transitions."""

import enum
from collections.abc import Mapping
from typing import Final


class PaymentState(enum.StrEnum):
    """The state of one attempt to pay."""

    CREATED = "CREATED"
    REDIRECTED = "REDIRECTED"
    AUTHORISED = "AUTHORISED"
    UNKNOWN = "UNKNOWN"
    """A charge was sent and its outcome is unknown. Never the same as FAILED."""
    CAPTURED = "CAPTURED"
    REFUND_PENDING = "REFUND_PENDING"
    """The whole amount will be refunded."""
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


class SeatState(enum.StrEnum):
    """The seat of the registration, as this payment last heard of it."""

    HELD = "HELD"
    SECURED = "SECURED"
    """The hold is lengthened for a capture."""
    CONFIRMED = "CONFIRMED"
    GONE = "GONE"


class RefundState(enum.StrEnum):
    """The state of one refund."""

    REQUESTED = "REQUESTED"
    SENT = "SENT"
    """Sent to YaadPay; the answer is pending."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    """Sent to YaadPay; the answer was lost, so money may have moved."""


class RefundReason(enum.StrEnum):
    """Why money goes back."""

    CANCELLED = "CANCELLED"
    SEAT_GONE = "SEAT_GONE"
    ORGANISER = "ORGANISER"
    SURPLUS = "SURPLUS"
    """A second charge for the same payment."""
    FREE = "FREE"
    """The event became free while the customer was paying; the seat stays."""


class Verdict(enum.StrEnum):
    """YaadPay's judgement of a return."""

    PENDING = "PENDING"
    GENUINE = "GENUINE"
    FORGED = "FORGED"


_S: Final = PaymentState
_PAID: Final = frozenset({_S.AUTHORISED, _S.CAPTURED})

TRANSITIONS: Final[Mapping[PaymentState, frozenset[PaymentState]]] = {
    _S.CREATED: _PAID | {_S.REDIRECTED, _S.FAILED, _S.EXPIRED},
    _S.REDIRECTED: _PAID | {_S.FAILED, _S.EXPIRED},
    # Nothing is charged in these two. The page can still be paid on: with another card, or late.
    _S.FAILED: _PAID,
    _S.EXPIRED: _PAID,
    _S.AUTHORISED: frozenset({_S.CAPTURED, _S.UNKNOWN, _S.FAILED}),
    _S.UNKNOWN: frozenset({_S.CAPTURED, _S.FAILED}),
    # Money was taken: no transition leads back to a state without money.
    _S.CAPTURED: frozenset({_S.REFUND_PENDING}),
    _S.REFUND_PENDING: frozenset({_S.REFUNDED}),
    _S.REFUNDED: frozenset(),
}

RUNNING: Final = frozenset({_S.CREATED, _S.REDIRECTED, _S.AUTHORISED, _S.UNKNOWN, _S.CAPTURED})
"""A registration has at most one payment in these states."""

UNPAID: Final = frozenset({_S.CREATED, _S.REDIRECTED})
"""Running, and no card is known yet."""

NOT_CHARGED: Final = UNPAID | {_S.FAILED, _S.EXPIRED}
"""No charge is made or under way, as far as this service knows: the first money counts."""

CHARGED: Final = frozenset({_S.CAPTURED, _S.REFUND_PENDING, _S.REFUNDED})
"""Money was taken."""

CAPTURING: Final = frozenset({_S.AUTHORISED, _S.UNKNOWN})
"""A charge is due, or its outcome is unknown."""

OPEN_REFUNDS: Final = frozenset({RefundState.REQUESTED, RefundState.SENT})
"""Refunds that need no person."""
