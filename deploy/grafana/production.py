"""Build the production dashboard: the six panels of the operators' guide."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, Query, bars, dial, heat, lines, quantiles


def production() -> Dashboard:
    """Return the dashboard "TicketCap Production Monitoring"."""
    return (
        board("ticketcap-production", "TicketCap Production Monitoring", "now-24h")
        .with_panel(
            lines(
                "Registration Overview",
                "Registrations per second, by answer.",
                [
                    Query("sum(rate(registration_created_total[5m]))", "Created"),
                    Query("sum(rate(registration_confirmed_total[5m]))", "Confirmed"),
                    Query("sum(rate(registration_waitlisted_total[5m]))", "Waitlisted"),
                ],
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            dial(
                "Payment Success Rate",
                "Captured part of payments opened within half an hour. Target: 95 %; an alert fires below 90 %.",
                Query("payment_success_rate", "captured"),
                [(None, "red"), (90, "orange"), (95, "green")],
            )
        )
        .with_panel(
            lines(
                "API Latency (p50, p95, p99)",
                "At the gateway, all routes together. An alert fires at a p99 above two seconds.",
                quantiles("api_request_duration_seconds"),
                unit="s",
                limit=2,
            )
        )
        .with_panel(
            lines(
                "Error Rate",
                "Percent of requests that TicketCap failed, over five minutes. An alert fires above 1 %.",
                [Query('api_error_rate{route="all"}', "all"), Query('api_error_rate{route!="all"} > 0', "{{route}}")],
                unit="percent",
                limit=1,
            )
        )
        .with_panel(
            bars(
                "Capacity Utilization",
                "Reserved part of each open event's capacity. A notice fires above 95 %.",
                Query(
                    "sort_desc(max by (school_slug, event_id) (registration_capacity_utilization))",
                    "{{school_slug}} {{event_id}}",
                ),
                by="event_id",
                unit="percentunit",
                limit=0.95,
            )
        )
        .with_panel(
            heat("Database Performance", "Durations of queries; each column is a minute.", "db_query_duration_seconds")
        )
        .with_panel(
            lines(
                "Database Performance (p50, p95, p99)",
                "Per service. An alert fires at a p95 above 500 ms.",
                quantiles("db_query_duration_seconds", by="job"),
                unit="s",
                limit=0.5,
                span=FULL,
            )
        )
    )
