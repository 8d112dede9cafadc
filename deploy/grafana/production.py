"""The dashboard "TicketCap Production Monitoring": the six panels of the operators' guide."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, Query, bars, dial, heat, lines, quantiles


def production() -> Dashboard:
    """Return the dashboard that hangs on the wall."""
    return (
        board("ticketcap-production", "TicketCap Production Monitoring", "now-24h")
        .with_panel(
            lines(
                "Registration Overview",
                "Registrations a second, as they were answered.",
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
                "Captured, of the payments begun within half an hour. The target is above 95 %; below 90 % alerts.",
                Query("payment_success_rate", "captured"),
                [(None, "red"), (90, "orange"), (95, "green")],
            )
        )
        .with_panel(
            lines(
                "API Latency (p50, p95, p99)",
                "At the gateway, all routes together. p99 above two seconds alerts.",
                quantiles("api_request_duration_seconds"),
                unit="s",
                limit=2,
            )
        )
        .with_panel(
            lines(
                "Error Rate",
                "Percent of requests that failed by our fault, over five minutes. Above 1 % alerts.",
                [Query('api_error_rate{route="all"}', "all"), Query('api_error_rate{route!="all"} > 0', "{{route}}")],
                unit="percent",
                limit=1,
            )
        )
        .with_panel(
            bars(
                "Capacity Utilization",
                "How full each open event is. Above 95 % the organisers are told.",
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
            heat("Database Performance", "How long queries take; each column is a minute.", "db_query_duration_seconds")
        )
        .with_panel(
            lines(
                "Database Performance (p50, p95, p99)",
                "Per service. p95 above 500 ms alerts.",
                quantiles("db_query_duration_seconds", by="job"),
                unit="s",
                limit=0.5,
                span=FULL,
            )
        )
    )
