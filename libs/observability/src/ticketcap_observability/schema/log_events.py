"""Every log line of our own, by its event."""

from typing import Final

from ticketcap_observability.schema.kinds import EVERY, GATEWAY, REGISTRATION, LogEvent

EVENTS: Final = (
    LogEvent("service.ready", "info", REGISTRATION, "It listens.", ("port",)),
    LogEvent("service.draining", "info", REGISTRATION, "SIGTERM came.", ("seconds",)),
    LogEvent("hold.expired", "info", REGISTRATION, "Holds ended by themselves.", ("event_id", "count", "promoted")),
    LogEvent("hold.expire_failed", "warning", REGISTRATION, "The next round tries again.", ("event_id", "reason")),
    LogEvent("housekeeping.deleted", "info", REGISTRATION, "Aged rows are gone.", ("table", "rows")),
    LogEvent(
        "feed.lost", "warning", REGISTRATION, "The listening connection is made anew.", ("error_type", "retry_seconds")
    ),
    LogEvent("feed.unreadable", "warning", REGISTRATION, "Another replica announced in a shape of another version."),
    LogEvent(
        "capacity.audit.drift",
        "error",
        REGISTRATION,
        "An event's counters and rows disagree.",
        (
            "event_id",
            "confirmed",
            "held",
            "waitlisted",
            "capacity",
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
    LogEvent("claim.unexpected_error", "error", REGISTRATION, "A claim met a fault of ours.", ("exc_info",)),
    LogEvent("lane.poisoned_item", "error", REGISTRATION, "One command can't be written.", ("event_id", "exc_info")),
    LogEvent("lane.batch_failed", "error", REGISTRATION, "A batch met a fault of ours.", ("event_id", "exc_info")),
    LogEvent(
        "lane.retry", "warning", REGISTRATION, "Nothing was done; tried again.", ("event_id", "reason", "pause_seconds")
    ),
    LogEvent("gateway.listening", "info", GATEWAY, "It listens.", ("address", "registration")),
    LogEvent("gateway.draining", "info", GATEWAY, "SIGTERM came."),
    LogEvent("gateway.stopped", "info", GATEWAY, "It is done."),
    LogEvent("gateway.can_not_start", "error", GATEWAY, "A setting or an address is wrong.", ("reason",)),
    LogEvent("watch.interrupted", "warning", GATEWAY, "A stream of seats is made anew.", ("event_id", "reason")),
    LogEvent("watch.unexpected_error", "error", GATEWAY, "A stream of seats met a fault of ours.", ("exc_info",)),
    LogEvent("stream.ended", "info", GATEWAY, "A browser's stream could not go on.", ("reason",)),
    LogEvent("http.unexpected_error", "error", GATEWAY, "A request met a fault of ours.", ("exc_info",)),
    LogEvent("http.answer_cut_off", "warning", GATEWAY, "An answer broke off in the middle.", ("error_type",)),
    LogEvent("claims.unexpected_error", "error", GATEWAY, "A batch of claims met a fault of ours.", ("exc_info",)),
    LogEvent("claims.results_do_not_match", "error", GATEWAY, "Claims were left unanswered.", ("sent", "received")),
    LogEvent("job.failed", "error", EVERY, "The next turn comes.", ("job", "error_type", "exc_info")),
    LogEvent("rpc.unexpected_error", "error", EVERY, "An RPC met a fault of ours.", ("exc_info",)),
    LogEvent("database.unreachable", "error", EVERY, "Health says so until it is back.", ("reason",)),
    LogEvent("database.slow", "warning", EVERY, "The health check had to wait too long.", ("reason",)),
)
