"""Build the dashboard of lanes and seats."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import Query, lines, numbers, quantiles


def lanes() -> Dashboard:
    """Return the dashboard of queues, batches, promotions, expiries and the two counts that must stay zero."""
    return (
        board("ticketcap-lanes", "TicketCap Lanes")
        .with_panel(
            numbers(
                "Capacity drift",
                "Events whose counters and rows differ. Any value above zero pages.",
                [Query("max(max_over_time(capacity_audit_drift[10m]))", "events")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Tenant isolation violations",
                "Rows of another school that a query read, since the processes started. Any value above zero pages.",
                [Query("sum(tenant_isolation_violation_total)", "violations")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Open events",
                "Open events of all schools, and events that filled up within a day.",
                [
                    Query("sum(school_active_events)", "open"),
                    Query("sum(increase(event_capacity_reached_total[1d]))", "filled up"),
                ],
                [(None, "blue")],
            )
        )
        .with_panel(
            lines(
                "Lane depth",
                "Waiting commands, and lanes that hold them. At 4,096 for one event, callers get RESOURCE_EXHAUSTED.",
                [Query("lane_depth", "commands {{instance}}"), Query("lane_active", "lanes {{instance}}")],
            )
        )
        .with_panel(
            lines(
                "Batch size",
                "Commands per transaction; a lone claim is a batch of one.",
                quantiles("lane_batch_size"),
            )
        )
        .with_panel(
            lines(
                "Wait in the lane",
                "Wait of the oldest command of each batch.",
                quantiles("lane_wait_seconds"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Commit",
                "Duration of the trip that writes a batch and commits it.",
                quantiles("lane_commit_duration_seconds"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Registration (p50, p95, p99) by outcome",
                "Time in the registration service, from claim to answer.",
                quantiles("registration_duration_seconds", by="outcome"),
                unit="s",
                limit=1,
            )
        )
        .with_panel(
            lines(
                "Promotions and expiries",
                "Registrations promoted from the waitlist, and expired holds, per minute.",
                [
                    Query("60 * sum(rate(waitlist_promotion_total[5m]))", "promoted"),
                    Query("60 * sum(rate(hold_expired_total[5m]))", "expired"),
                ],
            )
        )
        .with_panel(
            lines(
                "Promotion delay",
                "Time from the freed spot to the event streams that show the promotion.",
                quantiles("waitlist_promotion_delay_seconds"),
                unit="s",
                limit=1,
            )
        )
        .with_panel(
            lines(
                "Age of the last seat announcement",
                "Checked every few seconds. An alert fires above a minute: streams of seats show old counts.",
                [Query("max by (job, instance) (seat_announcement_age_seconds)", "{{instance}}")],
                unit="s",
                limit=60,
            )
        )
        .with_panel(
            lines(
                "Time on the waitlist",
                "Waiting time of promoted registrations.",
                quantiles("waitlist_wait_seconds", window="1h"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Database connections",
                "Idle and used connections per service. An alert fires when none is idle and callers wait.",
                [Query("sum by (job, state) (db_connection_count)", "{{job}} {{state}}")],
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Wait for a connection",
                "Time until a caller gets a connection, per service.",
                quantiles("db_client_connection_wait_time_seconds", by="job"),
                unit="s",
                limit=0.1,
            )
        )
        .with_panel(
            lines(
                "Transactions by operation",
                "Duration from BEGIN to COMMIT.",
                quantiles("db_transaction_duration_seconds", by="operation"),
                unit="s",
            )
        )
    )
