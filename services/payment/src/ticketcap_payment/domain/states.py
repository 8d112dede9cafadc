"""Where a payment, its seat and a refund can stand, and from where to where they may go."""

import enum
from collections.abc import Mapping
from typing import Final


class PaymentState(enum.StrEnum):
    """One attempt to pay."""

    CREATED = "CREATED"
    REDIRECTED = "REDIRECTED"
    AUTHORISED = "AUTHORISED"
    UNKNOWN = "UNKNOWN"
    """A charge was asked for and its outcome is not known. Never the same as FAILED."""
    CAPTURED = "CAPTURED"
    REFUND_PENDING = "REFUND_PENDING"
    """All of it will be given back."""
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


class SeatState(enum.StrEnum):
    """The seat of the registration that is paid for, as far as this payment knows."""

    HELD = "HELD"
    SECURED = "SECURED"
    """Made sure of for a capture."""
    CONFIRMED = "CONFIRMED"
    GONE = "GONE"


class RefundState(enum.StrEnum):
    """Money on its way back."""

    REQUESTED = "REQUESTED"
    SENT = "SENT"
    """Given to YaadPay; the answer is awaited."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    """Given to YaadPay; the answer was lost, so it may have been done."""


class RefundReason(enum.StrEnum):
    """Why money is given back."""

    CANCELLED = "CANCELLED"
    SEAT_GONE = "SEAT_GONE"
    ORGANISER = "ORGANISER"
    SURPLUS = "SURPLUS"
    """Charged a second time for the same payment."""
    FREE = "FREE"
    """The event became free while the customer was paying; the place stays."""


_S: Final = PaymentState
_PAID: Final = frozenset({_S.AUTHORISED, _S.CAPTURED})

TRANSITIONS: Final[Mapping[PaymentState, frozenset[PaymentState]]] = {
    _S.CREATED: _PAID | {_S.REDIRECTED, _S.FAILED, _S.EXPIRED},
    _S.REDIRECTED: _PAID | {_S.FAILED, _S.EXPIRED},
    # Nothing is charged in these two, and the page can still be paid on: with another card, or late.
    _S.FAILED: _PAID,
    _S.EXPIRED: _PAID,
    _S.AUTHORISED: frozenset({_S.CAPTURED, _S.UNKNOWN, _S.FAILED}),
    _S.UNKNOWN: frozenset({_S.CAPTURED, _S.FAILED}),
    # From here on money was taken: there is no way back to a state that says it was not.
    _S.CAPTURED: frozenset({_S.REFUND_PENDING}),
    _S.REFUND_PENDING: frozenset({_S.REFUNDED}),
    _S.REFUNDED: frozenset(),
}

RUNNING: Final = frozenset({_S.CREATED, _S.REDIRECTED, _S.AUTHORISED, _S.UNKNOWN, _S.CAPTURED})
"""A registration has one payment in these at most."""

UNPAID: Final = frozenset({_S.CREATED, _S.REDIRECTED})
"""Running, and nobody's card is known yet."""

NOT_CHARGED: Final = UNPAID | {_S.FAILED, _S.EXPIRED}
"""Nothing was charged and nothing is being charged, as far as is known: the first money that comes counts."""

CHARGED: Final = frozenset({_S.CAPTURED, _S.REFUND_PENDING, _S.REFUNDED})
"""Money was taken."""

CAPTURING: Final = frozenset({_S.AUTHORISED, _S.UNKNOWN})
"""A charge is to be made, or its outcome to be learnt."""

OPEN_REFUNDS: Final = frozenset({RefundState.REQUESTED, RefundState.SENT})
"""Still to be driven on without a person."""
