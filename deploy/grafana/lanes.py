"""The dashboard of the lanes, in which all who want an event's seats stand in one row, and of what moves the seats."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import Query, lines, numbers, quantiles


def lanes() -> Dashboard:
    """Return queues, batches, promotions, expiries and the two counts that must stay zero."""
    return (
        board("ticketcap-lanes", "TicketCap Lanes")
        .with_panel(
            numbers(
                "Capacity drift",
                "Events whose counters and rows differ. Anything but zero pages.",
                [Query("max(max_over_time(capacity_audit_drift[10m]))", "events")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Tenant isolation violations",
                "Since the processes began. Anything but zero pages.",
                [Query("sum(tenant_isolation_violation_total)", "violations")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Open events",
                "Of all schools together, and how many filled up in a day.",
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
                "Commands that wait, and the lanes they wait in. At 4,096 for one event callers are told to come back.",
                [Query("lane_depth", "commands {{instance}}"), Query("lane_active", "lanes {{instance}}")],
            )
        )
        .with_panel(
            lines(
                "Batch size",
                "Commands in one transaction: a lone claim is a batch of one.",
                quantiles("lane_batch_size"),
            )
        )
        .with_panel(
            lines(
                "Wait in the lane",
                "How long the oldest command of a batch had waited.",
                quantiles("lane_wait_seconds"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Commit",
                "The trip that writes a batch and commits it.",
                quantiles("lane_commit_duration_seconds"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Registration (p50, p95, p99) by outcome",
                "In the registration service, from claim to answer.",
                quantiles("registration_duration_seconds", by="outcome"),
                unit="s",
                limit=1,
            )
        )
        .with_panel(
            lines(
                "Seats that move",
                "Promoted from the waitlist, and holds that expired, a minute.",
                [
                    Query("60 * sum(rate(waitlist_promotion_total[5m]))", "promoted"),
                    Query("60 * sum(rate(hold_expired_total[5m]))", "expired"),
                ],
            )
        )
        .with_panel(
            lines(
                "Promotion delay",
                "From the freed spot to the streams that show who got it.",
                quantiles("waitlist_promotion_delay_seconds"),
                unit="s",
                limit=1,
            )
        )
        .with_panel(
            lines(
                "How long the seat feed has heard nothing",
                "It is checked every few seconds. Above a minute alerts: streams of seats stand still.",
                [Query("max by (job, instance) (seat_feed_age_seconds)", "{{instance}}")],
                unit="s",
                limit=60,
            )
        )
        .with_panel(
            lines(
                "Time on the waitlist",
                "Of those who were promoted.",
                quantiles("waitlist_wait_seconds", window="1h"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Database connections",
                "Idle and used, per service. None idle and callers that wait alerts.",
                [Query("sum by (job, state) (db_connection_count)", "{{job}} {{state}}")],
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Wait for a connection",
                "Per service.",
                quantiles("db_client_connection_wait_time_seconds", by="job"),
                unit="s",
                limit=0.1,
            )
        )
        .with_panel(
            lines(
                "Transactions by operation",
                "From BEGIN to COMMIT.",
                quantiles("db_transaction_duration_seconds", by="operation"),
                unit="s",
            )
        )
    )
