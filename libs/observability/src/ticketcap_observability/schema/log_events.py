"""Name the log lines by their events."""

from typing import Final

from ticketcap_observability.schema.kinds import EVERY, GATEWAY, PAYMENT, REGISTRATION, WITH_DATABASE, LogEvent

EVENTS: Final = (
    LogEvent("service.ready", "info", WITH_DATABASE, "The service listens.", ("port", "database_connections")),
    LogEvent("service.draining", "info", WITH_DATABASE, "SIGTERM arrived.", ("seconds",)),
    LogEvent(
        "database.not_made",
        "info",
        WITH_DATABASE,
        "A migration could not find or create its database.",
        ("database", "reason"),
    ),
    LogEvent("hold.expired", "info", REGISTRATION, "Holds of an event expired.", ("event_id", "count", "promoted")),
    LogEvent(
        "hold.expire_failed",
        "warning",
        REGISTRATION,
        "Holds did not expire; the next round retries.",
        ("event_id", "reason"),
    ),
    LogEvent("housekeeping.deleted", "info", REGISTRATION, "Aged rows were deleted.", ("table", "rows")),
    LogEvent(
        "announcements.lost",
        "warning",
        REGISTRATION,
        "The listener lost its connection and makes another.",
        ("error_type", "retry_seconds"),
    ),
    LogEvent(
        "announcements.stale", "error", REGISTRATION, "The listener received no check: streams are old.", ("seconds",)
    ),
    LogEvent(
        "announcements.dropped",
        "warning",
        REGISTRATION,
        "Seat announcements were not sent; watchers read their events again within seconds.",
        ("count", "reason"),
    ),
    LogEvent("announcements.unreadable", "warning", REGISTRATION, "A replica of another release announced seats."),
    LogEvent(
        "capacity.audit.drift",
        "error",
        REGISTRATION,
        "An event's counters and rows disagree.",
        (
            "event_id",
            "school_id",
            "school_slug",
            "version",
            "capacity",
            "confirmed",
            "held",
            "waitlisted",
            "waitlist_length",
            "rows_confirmed",
            "rows_held",
            "rows_waitlisted",
            "rows_waiting",
        ),
    ),
    LogEvent(
        "tenant.isolation.violation",
        "error",
        REGISTRATION,
        "A query for one school saw rows of another.",
        ("where", "event_id", "tables"),
    ),
    LogEvent("claim.unexpected_error", "error", REGISTRATION, "A claim failed by an unexpected error.", ("exc_info",)),
    LogEvent(
        "lane.poisoned_item", "error", REGISTRATION, "The database can't write one command.", ("event_id", "exc_info")
    ),
    LogEvent(
        "lane.batch_failed", "error", REGISTRATION, "A batch failed by an unexpected error.", ("event_id", "exc_info")
    ),
    LogEvent(
        "lane.retry",
        "warning",
        REGISTRATION,
        "Nothing was done; the batch runs again.",
        ("event_id", "reason", "pause_seconds"),
    ),
    LogEvent("gateway.listening", "info", GATEWAY, "The gateway listens.", ("address", "registration", "payment")),
    LogEvent("gateway.draining", "info", GATEWAY, "The gateway received SIGTERM and drains."),
    LogEvent("gateway.stopped", "info", GATEWAY, "The gateway has stopped."),
    LogEvent("gateway.can_not_start", "error", GATEWAY, "A setting or an address is wrong.", ("reason",)),
    LogEvent(
        "watch.interrupted",
        "warning",
        GATEWAY,
        "A stream of seats was interrupted and is opened again.",
        ("event_id", "reason"),
    ),
    LogEvent(
        "watch.unexpected_error", "error", GATEWAY, "A stream of seats ended with an unexpected error.", ("exc_info",)
    ),
    LogEvent("stream.ended", "info", GATEWAY, "A client's event stream ended; a browser reconnects.", ("reason",)),
    LogEvent("http.unexpected_error", "error", GATEWAY, "A request failed with an unexpected error.", ("exc_info",)),
    LogEvent("http.answer_cut_off", "warning", GATEWAY, "A response was cut off after its start.", ("error_type",)),
    LogEvent(
        "claims.unexpected_error", "error", GATEWAY, "A batch of claims failed with an unexpected error.", ("exc_info",)
    ),
    LogEvent(
        "claims.results_do_not_match",
        "error",
        GATEWAY,
        "The registration service did not answer every claim of a batch.",
        ("sent", "received"),
    ),
    LogEvent("payment.page_unavailable", "error", PAYMENT, "YaadPay signed no page; 503.", ("payment_id", "reason")),
    LogEvent(
        "payment.return_refused", "warning", PAYMENT, "A return is not genuine; nothing was changed.", ("reason",)
    ),
    LogEvent(
        "payment.return_not_verified",
        "error",
        PAYMENT,
        "YaadPay denies a return that matches its payment and, where Sign is checked, is signed.",
        ("payment_id", "return_id"),
    ),
    LogEvent("payment.surplus", "warning", PAYMENT, "The customer paid twice.", ("payment_id", "yaadpay_id")),
    LogEvent(
        "payment.seat_gone",
        "warning",
        PAYMENT,
        "The seat of this payment is gone; no charge remains.",
        ("payment_id", "reason"),
    ),
    LogEvent(
        "payment.capture_refused",
        "error",
        PAYMENT,
        "YaadPay refused a charge for another reason than the card.",
        ("payment_id", "ccode"),
    ),
    LogEvent("payment.escalated", "error", PAYMENT, "A person must settle the payment.", ("payment_id", "reason")),
    LogEvent(
        "refund.escalated", "error", PAYMENT, "A person must settle the refund.", ("refund_id", "payment_id", "reason")
    ),
    LogEvent(
        "change.failed",
        "warning",
        PAYMENT,
        "A change of a registration was not applied; the next turn reads it again.",
        ("registration_id", "reason"),
    ),
    LogEvent(
        "seat.without_payment",
        "error",
        PAYMENT,
        "A seat of a paid event is confirmed without a capture.",
        ("registration_id",),
    ),
    LogEvent(
        "escalation.resolved", "info", PAYMENT, "A person has resolved an escalation.", ("kind", "subject_id", "who")
    ),
    LogEvent(
        "yaadpay.signature_differs",
        "warning",
        PAYMENT,
        "YaadPay signs a page by another formula than this service.",
        ("order",),
    ),
    LogEvent(
        "registration.refused_this_service",
        "error",
        PAYMENT,
        "The registration service refuses this service's own token; no payment opens until SERVICE_TOKEN is renewed.",
        ("reason",),
    ),
    LogEvent("outbox.not_leased", "warning", PAYMENT, "The database leased no row.", ("reason",)),
    LogEvent(
        "outbox.later",
        "info",
        PAYMENT,
        "A delivery failed and is due again later.",
        ("topic", "reason", "tries", "seconds"),
    ),
    LogEvent(
        "outbox.not_delivered",
        "warning",
        PAYMENT,
        "A delivery hung, or a service or the database was unavailable.",
        ("topic", "reason"),
    ),
    LogEvent(
        "outbox.unexpected_error", "error", PAYMENT, "A delivery raised an unexpected exception.", ("topic", "exc_info")
    ),
    LogEvent(
        "reconciler.stuck",
        "warning",
        PAYMENT,
        "Unfinished work without a delivery is requeued.",
        ("payment_id", "topic"),
    ),
    LogEvent(
        "telemetry.setting_unused",
        "warning",
        EVERY,
        "A variable of telemetry has a wrong value; the default stands.",
        ("variable", "problem"),
    ),
    LogEvent(
        "telemetry.exporter_unavailable",
        "warning",
        EVERY,
        "A signal's exporter could not be made; the signal is not exported.",
        ("signal", "error_type"),
    ),
    LogEvent("job.lease_taken", "info", WITH_DATABASE, "This replica runs the job from now on.", ("job",)),
    LogEvent(
        "job.lease_lost", "warning", WITH_DATABASE, "Another replica runs the job: this one was silent.", ("job",)
    ),
    LogEvent(
        "job.leases_kept",
        "warning",
        WITH_DATABASE,
        "This replica could not give its leases back; they expire by themselves.",
        ("reason",),
    ),
    LogEvent(
        "job.failed", "error", EVERY, "A run of a job failed; the next run follows.", ("job", "error_type", "exc_info")
    ),
    LogEvent(
        "background.ended",
        "error",
        EVERY,
        "A background task ended before its service; the service drains and exits with status 1.",
        ("task", "error_type", "exc_info"),
    ),
    LogEvent("rpc.unexpected_error", "error", EVERY, "An RPC failed by a fault of the service.", ("exc_info",)),
    LogEvent("database.unreachable", "error", EVERY, "The database does not answer; health is 503.", ("reason",)),
    LogEvent("database.unfit", "error", EVERY, "A role lacks privileges or tables; health is 503.", ("missing",)),
    LogEvent(
        "identity.keys_unavailable",
        "warning",
        EVERY,
        "The identity provider does not answer; its last keys still verify tokens.",
        ("error_type", "keys"),
    ),
    LogEvent(
        "identity.keys_stale",
        "error",
        EVERY,
        "The identity provider failed three refreshes; tokens of its new keys are rejected.",
        ("age_seconds", "keys"),
    ),
    LogEvent("identity.keys_fetched", "info", EVERY, "The identity provider answers again.", ("keys",)),
    LogEvent("database.slow", "warning", EVERY, "The health check waited too long for the database.", ("reason",)),
)
