"""Build the dashboard of lanes and seats."""

from typing import Final

from deploy.grafana.board import board
from deploy.grafana.panels import percentiles, stats, time_series

LANES: Final = board(
    "ticketcap-lanes",
    "TicketCap Lanes",
    stats(
        "Capacity drift",
        "Events whose counters and rows differ. Any value above zero pages.",
        {"events": "max(max_over_time(capacity_audit_drift[10m]))"},
        [(None, "green"), (1, "red")],
    ),
    stats(
        "Tenant isolation violations",
        "Rows of another school that a query read, since the processes started. Any value above zero pages.",
        {"violations": "sum(tenant_isolation_violation_total)"},
        [(None, "green"), (1, "red")],
    ),
    stats(
        "Open events",
        "Open events of all schools, and events that filled up within a day.",
        {
            "open": "sum(max by (school_id) (school_active_events))",
            "filled up": "sum(increase(event_capacity_reached_total[1d]))",
        },
        [(None, "blue")],
    ),
    time_series(
        "Lane depth",
        "Waiting commands, and lanes that hold them. At 4,096 for one event, callers get RESOURCE_EXHAUSTED.",
        {"commands {{instance}}": "lane_depth", "lanes {{instance}}": "lane_active"},
    ),
    percentiles(
        "Batch size", "Commands per transaction; a lone claim is a batch of one.", "lane_batch_size", unit="short"
    ),
    percentiles("Wait in the lane", "Wait of the oldest command of each batch.", "lane_wait_seconds"),
    percentiles("Commit", "Duration of the trip that writes a batch and commits it.", "lane_commit_duration_seconds"),
    percentiles(
        "Registration (p50, p95, p99) by outcome",
        "Time in the registration service, from claim to answer.",
        "registration_duration_seconds",
        by="outcome",
        limit=1,
    ),
    time_series(
        "Promotions and expiries",
        "Registrations promoted from the waitlist, and expired holds, per minute.",
        {
            "promoted": "60 * sum(rate(waitlist_promotion_total[5m]))",
            "expired": "60 * sum(rate(hold_expired_total[5m]))",
        },
    ),
    percentiles(
        "Promotion delay",
        "Time from the freed spot to the event streams that show the promotion.",
        "waitlist_promotion_delay_seconds",
        limit=1,
    ),
    time_series(
        "Age of the last seat announcement",
        "Checked every few seconds. An alert fires above a minute: streams of seats show old counts.",
        {"{{instance}}": "max by (job, instance) (seat_announcement_age_seconds)"},
        unit="s",
        limit=60,
    ),
    time_series(
        "Replicas that run a job",
        "One for each job that one replica runs for all. Zero: the job rests, for 15 seconds at most after a crash.",
        {"{{job}} {{leased_job}}": "sum by (job, leased_job) (job_lease)"},
    ),
    time_series(
        "Seat announcements",
        "Sent after their commits, and dropped, per minute. Watchers of a dropped one read their event within seconds.",
        {
            "sent": "60 * sum(rate(seat_announcement_published_total[5m]))",
            "dropped": "60 * sum(rate(seat_announcement_dropped_total[5m]))",
        },
    ),
    percentiles(
        "Time on the waitlist", "Waiting time of promoted registrations.", "waitlist_wait_seconds", window="1h"
    ),
    time_series(
        "Database connections",
        "Idle and used connections per service, and the most that all its instances open. An alert fires when none is "
        "idle and callers wait.",
        {
            "{{job}} {{state}}": "sum by (job, state) (db_connection_count)",
            "{{job}} most": "sum by (job) (db_client_connection_max)",
        },
    ),
    percentiles(
        "Wait for a connection",
        "Time until a caller gets a connection, per service.",
        "db_client_connection_wait_time_seconds",
        by="job",
        limit=0.1,
    ),
    percentiles(
        "Transactions by operation", "Duration from BEGIN to COMMIT.", "db_transaction_duration_seconds", by="operation"
    ),
)
