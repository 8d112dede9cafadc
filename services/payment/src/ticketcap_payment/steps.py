"""Name the points between two effects of the saga.

A process may die at each of them. Tests stop the saga there, or let other requests run first.
"""

import enum
from typing import Protocol


class Step(enum.StrEnum):
    """A point after the effect that its name states, and before the next effect."""

    PAYMENT_STORED = "payment.stored"
    PAGE_SIGNED = "page.signed"
    RETURN_STORED = "return.stored"
    RETURN_VERIFIED = "return.verified"
    PAYMENT_AUTHORISED = "payment.authorised"
    SEAT_SECURED = "seat.secured"
    CAPTURE_INTENDED = "capture.intended"
    CAPTURE_ANSWERED = "capture.answered"
    PAYMENT_CAPTURED = "payment.captured"
    SEAT_ANSWERED = "seat.answered"
    SEAT_RECORDED = "seat.recorded"
    REFUND_STORED = "refund.stored"
    REFUND_INTENDED = "refund.intended"
    REFUND_ANSWERED = "refund.answered"
    REFUND_RECORDED = "refund.recorded"
    CHANGE_APPLIED = "change.applied"


class Steps(Protocol):
    """Observes the saga."""

    async def reached(self, step: Step) -> None:
        """Return to let the saga continue after ``step``."""


class NoSteps:
    """Lets the saga continue at once: the production observer."""

    async def reached(self, step: Step) -> None:
        """Return at once."""
