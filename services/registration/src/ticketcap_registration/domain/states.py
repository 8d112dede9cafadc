"""Name the states of registrations and events, and the waitlist's policies."""

import enum
from typing import Final


class RegistrationStatus(enum.StrEnum):
    """A registration's state; ``COUNTED`` lists those that reserve spots."""

    PENDING_PAYMENT = "PENDING_PAYMENT"
    CONFIRMED = "CONFIRMED"
    WAITLISTED = "WAITLISTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


COUNTED: Final = frozenset({RegistrationStatus.PENDING_PAYMENT, RegistrationStatus.CONFIRMED})
"""States that count against capacity."""

LIVE: Final = COUNTED | {RegistrationStatus.WAITLISTED}
"""States of which an event has at most one registration per phone."""


class EventStatus(enum.StrEnum):
    """Whether an event takes registrations. PAUSED only promotes; CLOSED does neither."""

    OPEN = "OPEN"
    PAUSED = "PAUSED"
    CLOSED = "CLOSED"


class WaitlistPolicy(enum.StrEnum):
    """The order of promotion: the oldest registration that fits, or strictly the oldest."""

    FIRST_FIT = "FIRST_FIT"
    STRICT_FIFO = "STRICT_FIFO"
