"""Name the spans and their attributes."""

from typing import Final

from ticketcap_observability.schema.kinds import GATEWAY, PAYMENT, REGISTRATION, Attribute, SpanName

# Attributes
SCHOOL_ID: Final = Attribute("school.id", "string", "The school's UUID.")
SCHOOL_SLUG: Final = Attribute("school.slug", "string", "The school's slug; also in the baggage.")
SCHOOL_SYNTHETIC: Final = Attribute(
    "school.synthetic", "boolean", "True for a synthetic school, else absent; also in the baggage."
)
EVENT_ID: Final = Attribute("event.id", "string", "The event's id.")
SPOTS: Final = Attribute("registration.spots", "int", "Spots requested; the sum of them for promotions and expiries.")
STATUS: Final = Attribute("registration.status", "string", "The registration's status in the response.")
CONFIRMATION_CODE: Final = Attribute(
    "registration.confirmationCode", "string", "Identifies a registration and grants nothing."
)
CAPACITY: Final = Attribute("event.capacity", "int", "Spots in all.")
SPOTS_RESERVED: Final = Attribute("event.spotsReserved", "int", "Reserved spots before the decision.")
SPOTS_AVAILABLE: Final = Attribute("event.spotsAvailable", "int", "Available spots before the decision.")
PROMOTED: Final = Attribute("waitlist.promoted", "int", "How many registrations were promoted.")
EXPIRED: Final = Attribute("hold.expired", "int", "How many holds expired.")
BATCH_SIZE: Final = Attribute("batch.size", "int", "Commands in the transaction.")
BATCH_WAIT_MS: Final = Attribute("batch.wait_ms", "double", "Wait of the oldest command, in milliseconds.")
PAYMENT_ID: Final = Attribute("payment.id", "string", "The payment's id.")
PAYMENT_AMOUNT: Final = Attribute("payment.amount_agorot", "int", "The payment's or the refund's amount in agorot.")
PAYMENT_CCODE: Final = Attribute("payment.ccode", "int", "The CCode of YaadPay's response.")
PAYMENT_STATE: Final = Attribute("payment.state", "string", "The payment's state after the span.")
OUTBOX_TOPIC: Final = Attribute("outbox.topic", "string", "The kind of the delivery: one of four words.")

# Spans of the registration service
CREATE: Final = SpanName(
    "registration.create",
    REGISTRATION,
    "One claim, from its start to its response.",
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    EVENT_ID,
    SPOTS,
    STATUS,
    CONFIRMATION_CODE,
)
CAPACITY_CHECK: Final = SpanName(
    "registration.capacityCheck",
    REGISTRATION,
    "The decision on a batch's seats, shown in the trace of each of its claims.",
    CAPACITY,
    SPOTS_RESERVED,
    SPOTS_AVAILABLE,
)
TRANSACTION: Final = SpanName(
    "registration.transaction",
    REGISTRATION,
    "A claim's wait for the commit of its batch; linked to the batch.",
    STATUS,
)
BATCH: Final = SpanName(
    "registration.batch",
    REGISTRATION,
    "One lane transaction; linked to every request in it.",
    EVENT_ID,
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    BATCH_SIZE,
    BATCH_WAIT_MS,
)
CANCEL: Final = SpanName(
    "registration.cancel", REGISTRATION, "One cancellation.", EVENT_ID, SCHOOL_ID, SCHOOL_SLUG, SCHOOL_SYNTHETIC
)
PROMOTE: Final = SpanName("waitlist.promote", REGISTRATION, "The promotions of a batch.", EVENT_ID, SPOTS, PROMOTED)
EXPIRE: Final = SpanName("hold.expire", REGISTRATION, "The holds that expired in a batch.", EVENT_ID, SPOTS, EXPIRED)

# Spans of the payment service
PAYMENT_CREATE: Final = SpanName(
    "payment.create",
    PAYMENT,
    "A payment is opened and the browser sent to YaadPay.",
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    PAYMENT_ID,
    PAYMENT_AMOUNT,
    PAYMENT_STATE,
)
PAYMENT_RETURN: Final = SpanName(
    "payment.return",
    PAYMENT,
    "A customer's return is processed. Linked to the request that opened the payment.",
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    PAYMENT_ID,
    PAYMENT_STATE,
)
PAYMENT_CAPTURE: Final = SpanName(
    "payment.capture",
    PAYMENT,
    "The seat is secured, then the card is charged.",
    PAYMENT_ID,
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    PAYMENT_AMOUNT,
    PAYMENT_CCODE,
    PAYMENT_STATE,
)
PAYMENT_REFUND: Final = SpanName(
    "payment.refund",
    PAYMENT,
    "One try to send a refund.",
    PAYMENT_ID,
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    PAYMENT_AMOUNT,
)
PAYMENT_RECONCILE: Final = SpanName(
    "payment.reconcile", PAYMENT, "Stuck work without a delivery is requeued.", PAYMENT_ID, OUTBOX_TOPIC
)
REGISTRATION_CHANGED: Final = SpanName(
    "registration.changed",
    PAYMENT,
    "A registration's change is applied to its payments. Linked to the request that changed it.",
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    STATUS,
)
OUTBOX_DELIVER: Final = SpanName(
    "outbox.deliver",
    PAYMENT,
    "One delivery of the outbox. Linked to the request that wrote the row.",
    OUTBOX_TOPIC,
    SCHOOL_ID,
    SCHOOL_SLUG,
    SCHOOL_SYNTHETIC,
    PAYMENT_ID,
    PAYMENT_CCODE,
    PAYMENT_STATE,
)

CONVENTIONAL_SPANS: Final = (
    ("{METHOD} {route}", GATEWAY, "An HTTP request, on the server."),
    ("{package}.{Service}/{Method}", "both sides of a call", "An RPC, except health and reflection."),
    ("POST yaadpay {action}", PAYMENT, "A call to YaadPay, without its query and without trace headers."),
    ("{statement}", "services with a database", "A statement of a request, by its name (`seats.lock`)."),
)
"""Spans named by OpenTelemetry's conventions, with who makes them."""


def yaadpay_call(action: str) -> str:
    """Return the name of the span of one call to YaadPay."""
    return f"POST yaadpay {action}"


CONVENTIONAL_ATTRIBUTES: Final = frozenset(
    {
        "db.collection.name",
        "db.operation.name",
        "db.query.summary",
        "db.query.text",
        "db.system.name",
        "error.type",
        "exception.stacktrace",
        "exception.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "rpc.method",
        "rpc.response.status_code",
        "rpc.system.name",
        "server.address",
        "server.port",
        "url.path",
        "url.scheme",
    }
)
"""Attributes named by OpenTelemetry's conventions."""
