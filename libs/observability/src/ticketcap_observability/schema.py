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

# Spans of the payment service
PAYMENT_CREATE: Final = "payment.create"
PAYMENT_RETURN: Final = "payment.return"
PAYMENT_CAPTURE: Final = "payment.capture"
PAYMENT_REFUND: Final = "payment.refund"
PAYMENT_RECONCILE: Final = "payment.reconcile"
OUTBOX_DELIVER: Final = "outbox.deliver"
"""One delivery of what a commit caused; linked to the request that committed it."""

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

PAYMENT_ID: Final = "payment.id"
PAYMENT_AMOUNT: Final = "payment.amount"
"""Agorot."""
PAYMENT_CCODE: Final = "payment.ccode"
PAYMENT_STATE: Final = "payment.state"

# Metrics
PAYMENT_CREATED: Final = "payment.created"
PAYMENT_COMPLETED: Final = "payment.completed"
PAYMENT_FAILED: Final = "payment.failed"
PAYMENT_RETURN_REFUSED: Final = "payment.return.refused"
"""Returns that nobody at YaadPay sent, by reason."""
PAYMENT_PROCESSING_TIME: Final = "payment.processing_time"
"""Seconds from the return to the capture's outcome."""
PAYMENT_AMOUNTS: Final = "payment.amount"
"""Captured, in ILS."""
PAYMENT_UNSETTLED: Final = "payment.unsettled"
"""Payments and refunds that wait for the reconciler, by kind and age."""
PAYMENT_ESCALATED: Final = "payment.escalated"
"""What only a person can settle, and nobody has yet."""
OUTBOX_LAG: Final = "outbox.lag"
"""Seconds that the oldest undelivered row has waited."""
YAADPAY_DURATION: Final = "yaadpay.call.duration"
DROPPED: Final = "telemetry.dropped"
"""Spans and points that could not be delivered."""

DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the conventions' advice for calls."""
QUERY_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds; the conventions' advice for database operations."""
