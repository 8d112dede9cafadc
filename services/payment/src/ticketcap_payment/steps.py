"""The points between two effects, by name: where a process may die, and where a test may stop it or let others pass."""

import enum
from typing import Protocol


class Step(enum.StrEnum):
    """Each is reached when what its name says is done, and before what comes next."""

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
    """Is told of every step."""

    async def reached(self, step: Step) -> None:
        """Do what is to be done there."""


class NoSteps:
    """Lets everything pass: what a service in use has."""

    async def reached(self, step: Step) -> None:
        """Go on."""
