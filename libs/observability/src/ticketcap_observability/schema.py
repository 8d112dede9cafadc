"""Every span and attribute of our own, by name. Code takes them from here; nothing is spelled twice."""

from typing import Final

# Spans of the registration service
CREATE: Final = "registration.create"
"""One claim, from the moment that it is understood to its answer."""
CAPACITY_CHECK: Final = "registration.capacityCheck"
"""The decision on seats, made once for a whole batch and drawn into each claim's trace."""
TRANSACTION: Final = "registration.transaction"
"""A claim's wait for its batch to be committed; linked to the batch."""
BATCH: Final = "registration.batch"
"""One lane transaction; linked to every request that it serves."""
CANCEL: Final = "registration.cancel"
PROMOTE: Final = "waitlist.promote"
EXPIRE: Final = "hold.expire"

# Attributes
SCHOOL_ID: Final = "school.id"
"""The school's slug."""
EVENT_ID: Final = "event.id"
SPOTS: Final = "registration.spots"
STATUS: Final = "registration.status"
CONFIRMATION_CODE: Final = "registration.confirmationCode"
"""Identifies a registration and grants nothing."""
CAPACITY: Final = "event.capacity"
SPOTS_RESERVED: Final = "event.spotsReserved"
SPOTS_AVAILABLE: Final = "event.spotsAvailable"
PROMOTED: Final = "waitlist.promoted"
"""How many registrations were promoted."""
EXPIRED: Final = "hold.expired"
"""How many holds expired."""
BATCH_SIZE: Final = "batch.size"
BATCH_WAIT_MS: Final = "batch.wait_ms"

# Metrics
DROPPED: Final = "telemetry.dropped"
"""Spans and points that could not be delivered."""

DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the conventions' advice for calls."""
QUERY_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds; the conventions' advice for database operations."""
