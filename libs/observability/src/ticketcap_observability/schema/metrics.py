"""Define the metrics: unit, labels with their bounds, buckets."""

from typing import Final

from ticketcap_observability.schema.kinds import (
    EVERY,
    GATEWAY,
    PAYMENT,
    REGISTRATION,
    WITH_DATABASE,
    CounterMetric,
    GaugeMetric,
    HistogramMetric,
    Label,
)

DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the conventions' advice for calls."""
QUERY_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds; the conventions' advice for database operations."""
_WAIT_BUCKETS: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0)
_BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_ILS_BUCKETS: Final = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
_DELAY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SETTLING_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)

# Labels
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_METHOD: Final = Label("method", (*_METHODS, "_OTHER"))
_ROUTE: Final = Label("route", limit=60)
_STATUS_CLASS: Final = Label("status_class", ("1xx", "2xx", "3xx", "4xx", "5xx", "none"))
_EVENT: Final = Label("event_id", limit=200)
_SCHOOL: Final = Label("school_id", limit=200)
_SCHOOL_SLUG: Final = Label("school_slug", limit=200)
_SYNTHETIC: Final = Label("school_synthetic", ("true", "false"))
_CLAIM_OUTCOME: Final = Label(
    "outcome", ("confirmed", "pending_payment", "waitlisted", "replayed", "refused", "failed", "cancelled")
)
_KIND: Final = Label("kind", limit=20)

# Registration
REGISTRATION_CREATED: Final = CounterMetric(
    "registration.created",
    "{registration}",
    REGISTRATION,
    "Registrations created; the repeat of a claim creates none.",
    (_SYNTHETIC,),
)
REGISTRATION_CONFIRMED: Final = CounterMetric(
    "registration.confirmed", "{registration}", REGISTRATION, "Registrations that became confirmed.", (_SYNTHETIC,)
)
REGISTRATION_WAITLISTED: Final = CounterMetric(
    "registration.waitlisted", "{registration}", REGISTRATION, "Registrations that joined a waitlist.", (_SYNTHETIC,)
)
REGISTRATION_DURATION: Final = HistogramMetric(
    "registration.duration",
    "s",
    REGISTRATION,
    "From the start of a claim to its response. refused: by a rule; failed: by a fault or an unavailable part.",
    (_CLAIM_OUTCOME,),
    DURATION_BUCKETS,
)
CAPACITY_UTILIZATION: Final = GaugeMetric(
    "registration.capacity_utilization",
    "{utilization}",
    REGISTRATION,
    "Confirmed and held spots over capacity, 0 to 1; the fullest open events.",
    (_EVENT, _SCHOOL, _SCHOOL_SLUG, _SYNTHETIC),
    series=200,
)
CAPACITY_REACHED: Final = CounterMetric(
    "event.capacity_reached",
    "{event}",
    REGISTRATION,
    "Times that an event's last free spot was reserved.",
    (_SYNTHETIC,),
)
ACTIVE_EVENTS: Final = GaugeMetric(
    "school.active_events",
    "{event}",
    REGISTRATION,
    "Open events of a school that have not started; the schools with most.",
    (_SCHOOL, _SCHOOL_SLUG, _SYNTHETIC),
    series=200,
)
WAITLIST_PROMOTION: Final = CounterMetric(
    "waitlist.promotion", "{registration}", REGISTRATION, "Registrations promoted from a waitlist.", (_SYNTHETIC,)
)
WAITLIST_WAIT: Final = HistogramMetric(
    "waitlist.wait", "s", REGISTRATION, "From joining the waitlist to promotion.", (), _WAIT_BUCKETS
)
PROMOTION_DELAY: Final = HistogramMetric(
    "waitlist.promotion.delay",
    "s",
    REGISTRATION,
    "From the decision that promotes to the event streams of this replica.",
    (),
    _DELAY_BUCKETS,
)
SEAT_ANNOUNCEMENT_AGE: Final = GaugeMetric(
    "seat.announcement.age",
    "s",
    REGISTRATION,
    "Since the listener of seat announcements last received its own check; a stale one makes streams show old seats.",
)
ANNOUNCEMENTS_PUBLISHED: Final = CounterMetric(
    "seat.announcement.published",
    "{announcement}",
    REGISTRATION,
    "Seat announcements sent after their commits; those of an event that waited together are one.",
)
ANNOUNCEMENTS_DROPPED: Final = CounterMetric(
    "seat.announcement.dropped",
    "{announcement}",
    REGISTRATION,
    "Seat announcements not sent; watchers read their events again within seconds.",
)
HOLD_EXPIRED: Final = CounterMetric("hold.expired", "{hold}", REGISTRATION, "Holds that expired.", (_SYNTHETIC,))
LANE_DEPTH: Final = GaugeMetric("lane.depth", "{command}", REGISTRATION, "Commands that wait, over all lanes.")
LANE_ACTIVE: Final = GaugeMetric("lane.active", "{lane}", REGISTRATION, "Lanes in which a command waits.")
LANE_BATCH_SIZE: Final = HistogramMetric(
    "lane.batch.size", "{command}", REGISTRATION, "Commands in one lane transaction.", (), _BATCH_BUCKETS
)
LANE_WAIT: Final = HistogramMetric(
    "lane.wait", "s", REGISTRATION, "Wait of the oldest command of a batch.", (), QUERY_BUCKETS
)
LANE_COMMIT: Final = HistogramMetric(
    "lane.commit.duration", "s", REGISTRATION, "The trip that writes a batch and commits it.", (), QUERY_BUCKETS
)
AUDIT_DRIFT: Final = GaugeMetric(
    "capacity.audit.drift",
    "{event}",
    REGISTRATION,
    "Events whose counters and rows disagree, or oversold events; 0 is right.",
)
ISOLATION_VIOLATION: Final = CounterMetric(
    "tenant.isolation.violation",
    "{violation}",
    REGISTRATION,
    "Rows of a school that a query for another school saw; 0 is right.",
    (Label("where", ("probe", "lane")),),
)

# Payment
PAYMENT_CREATED: Final = CounterMetric("payment.created", "{payment}", PAYMENT, "Payments opened.", (_SYNTHETIC,))
PAYMENT_COMPLETED: Final = CounterMetric("payment.completed", "{payment}", PAYMENT, "Payments captured.", (_SYNTHETIC,))
PAYMENT_FAILED: Final = CounterMetric(
    "payment.failed",
    "{payment}",
    PAYMENT,
    "Payments that ended without a charge.",
    (Label("reason", limit=30), _SYNTHETIC),
)
PAYMENT_RETURN_REFUSED: Final = CounterMetric(
    "payment.return.refused",
    "{return}",
    PAYMENT,
    "Returns that are not genuine.",
    (Label("reason", limit=20), _SYNTHETIC),
)
PAYMENT_PROCESSING_TIME: Final = HistogramMetric(
    "payment.processing_time",
    "s",
    PAYMENT,
    "From the return to the capture's outcome.",
    (Label("outcome", limit=20), _SYNTHETIC),
    _SETTLING_BUCKETS,
)
PAYMENT_AMOUNTS: Final = HistogramMetric("payment.amount", "{ILS}", PAYMENT, "Captured, in ILS.", (), _ILS_BUCKETS)
PAYMENT_UNSETTLED: Final = GaugeMetric(
    "payment.unsettled",
    "{payment}",
    PAYMENT,
    "Open deliveries of payments, refunds and returns.",
    (_KIND, Label("age", limit=10), _SYNTHETIC),
)
PAYMENT_ESCALATED: Final = GaugeMetric(
    "payment.escalated", "{payment}", PAYMENT, "Open escalations, which only a person can settle.", (_KIND, _SYNTHETIC)
)
OUTBOX_LAG: Final = GaugeMetric("outbox.lag", "s", PAYMENT, "Age of the oldest open row of the outbox.")
FEED_AGE: Final = GaugeMetric(
    "registration.feed.age",
    "s",
    PAYMENT,
    "Time since the change feed was read to its end; cancelled registrations are refunded only then.",
)
YAADPAY_DURATION: Final = HistogramMetric(
    "yaadpay.call.duration",
    "s",
    PAYMENT,
    "One call to YaadPay; the outcome is the class of the CCode.",
    (
        Label("action", limit=15),
        Label("outcome", ("success", "declined", "retryable", "config", "state", "unknown")),
        _SYNTHETIC,
    ),
    _SETTLING_BUCKETS,
)

# HTTP
API_REQUEST_DURATION: Final = HistogramMetric(
    "api.request.duration",
    "s",
    GATEWAY,
    "A request; for an event stream, until its answer begins. none: no answer.",
    (_METHOD, _ROUTE, _STATUS_CLASS, _SYNTHETIC),
    DURATION_BUCKETS,
)
API_REQUEST_COUNT: Final = CounterMetric(
    "api.request.count", "{request}", GATEWAY, "Requests.", (_METHOD, _ROUTE, _SYNTHETIC)
)
API_ERROR_COUNT: Final = CounterMetric(
    "api.error.count",
    "{request}",
    GATEWAY,
    "Requests answered 500 or above, or not answered by a fault of the gateway.",
    (_METHOD, _ROUTE, Label("error_type", limit=40), _SYNTHETIC),
)

# Database
DB_QUERY_DURATION: Final = HistogramMetric(
    "db.query.duration",
    "s",
    EVERY,
    "One statement, by its name or its verb.",
    (Label("operation", limit=80),),
    QUERY_BUCKETS,
)
DB_TRANSACTION_DURATION: Final = HistogramMetric(
    "db.transaction.duration",
    "s",
    EVERY,
    "One transaction. seats: a lane's; rollback: one without a write, as reads end.",
    (Label("operation", ("seats", "commit", "rollback")),),
    QUERY_BUCKETS,
)
DB_CONNECTION_COUNT: Final = GaugeMetric(
    "db.connection.count",
    "{connection}",
    EVERY,
    "Connections of all pools of the process.",
    (Label("state", ("idle", "used")),),
)
DB_CONNECTION_ERRORS: Final = CounterMetric(
    "db.connection.errors", "{error}", EVERY, "Failed attempts to reach the database, and lost connections."
)

# Telemetry and the process itself
DROPPED: Final = CounterMetric(
    "telemetry.dropped",
    "{item}",
    EVERY,
    "Spans, points, log lines, labels and reports that were lost.",
    (
        Label("signal", ("traces", "metrics", "logs", "errors")),
        Label(
            "reason",
            ("queue_full", "export_failed", "rejected", "unknown_label", "unknown_value", "label_limit", "other"),
        ),
    ),
)
EVENT_LOOP_LAG: Final = HistogramMetric(
    "eventloop.lag", "s", EVERY, "Delay of the event loop's timer.", (), _LAG_BUCKETS
)
PROCESS_MEMORY: Final = GaugeMetric("process.memory.usage", "By", EVERY, "Resident memory.")
PROCESS_CPU: Final = GaugeMetric("process.cpu.utilization", "{cpu}", EVERY, "Processors in use since the last read.")
PROCESS_FILES: Final = GaugeMetric("process.open_file_descriptors", "{file}", EVERY, "Open files and sockets.")
PROCESS_UPTIME: Final = GaugeMetric("process.uptime", "s", EVERY, "Time since telemetry started.")

# Named by OpenTelemetry's conventions
_RPC_LABELS: Final = (
    Label("rpc.system.name", ("grpc",)),
    Label("rpc.method", limit=60),
    Label("rpc.response.status_code", limit=17),
    Label("error.type", limit=40),
)
RPC_SERVER_DURATION: Final = HistogramMetric(
    "rpc.server.call.duration", "s", EVERY, "An RPC, on the server.", _RPC_LABELS, DURATION_BUCKETS
)
RPC_CLIENT_DURATION: Final = HistogramMetric(
    "rpc.client.call.duration",
    "s",
    EVERY,
    "An RPC, on the client.",
    (*_RPC_LABELS, Label("server.address", limit=10), Label("server.port", limit=10)),
    DURATION_BUCKETS,
)
HTTP_SERVER_DURATION: Final = HistogramMetric(
    "http.server.request.duration",
    "s",
    GATEWAY,
    "An HTTP request, until its last byte.",
    (
        Label("http.request.method", (*_METHODS, "_OTHER")),
        Label("url.scheme", ("http", "https")),
        Label("http.route", limit=60),
        Label("http.response.status_code", limit=40),
        Label("error.type", limit=40),
    ),
    DURATION_BUCKETS,
)
DB_CLIENT_DURATION: Final = HistogramMetric(
    "db.client.operation.duration",
    "s",
    EVERY,
    "One statement.",
    (
        Label("db.system.name", ("postgresql",)),
        Label("db.operation.name", limit=20),
        Label("db.collection.name", limit=40),
        Label("db.query.summary", limit=80),
        Label("error.type", limit=40),
    ),
    QUERY_BUCKETS,
)
DB_CLIENT_WAIT: Final = HistogramMetric(
    "db.client.connection.wait_time",
    "s",
    EVERY,
    "Wait of a caller for a connection of the pool.",
    (Label("db.client.connection.pool.name", limit=10), Label("error.type", limit=40)),
    QUERY_BUCKETS,
)
JOB_LEASES: Final = GaugeMetric(
    "job.lease",
    "{lease}",
    WITH_DATABASE,
    "1 in the replica that runs the job, 0 in the others; no 1 for a job over all replicas: it rests.",
    (Label("leased_job", limit=20),),
)
DB_CLIENT_MOST_CONNECTIONS: Final = GaugeMetric(
    "db.client.connection.max",
    "{connection}",
    EVERY,
    "The most connections of one pool; the listener counts as one.",
    (Label("db.client.connection.pool.name", limit=10),),
)
DB_CLIENT_CONNECTIONS: Final = GaugeMetric(
    "db.client.connection.count",
    "{connection}",
    EVERY,
    "Connections of one pool.",
    (Label("db.client.connection.pool.name", limit=10), Label("db.client.connection.state", ("idle", "used"))),
)
