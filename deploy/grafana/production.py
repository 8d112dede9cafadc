"""Build the production dashboard: the six panels of the operators' guide."""

from typing import Final

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, bar_chart, gauge, heatmap, percentiles, time_series

PRODUCTION: Final = board(
    "ticketcap-production",
    "TicketCap Production Monitoring",
    time_series(
        "Registration Overview",
        "Registrations per second, by answer.",
        {
            "Created": "sum(rate(registration_created_total[5m]))",
            "Confirmed": "sum(rate(registration_confirmed_total[5m]))",
            "Waitlisted": "sum(rate(registration_waitlisted_total[5m]))",
        },
        unit="reqps",
        stacked=True,
    ),
    gauge(
        "Payment Success Rate",
        "Captured part of payments opened within half an hour. Target: 95 %; an alert fires below 90 %.",
        {"captured": "payment_success_rate"},
        [(None, "red"), (90, "orange"), (95, "green")],
    ),
    percentiles(
        "API Latency (p50, p95, p99)",
        "At the gateway, all routes together. An alert fires at a p99 above two seconds.",
        "api_request_duration_seconds",
        limit=2,
    ),
    time_series(
        "Error Rate",
        "Percent of requests that TicketCap failed, over five minutes. An alert fires above 1 %.",
        {"all": 'api_error_rate{route="all"}', "{{route}}": 'api_error_rate{route!="all"} > 0'},
        unit="percent",
        limit=1,
    ),
    bar_chart(
        "Capacity Utilization",
        "Reserved part of each open event's capacity. A notice fires above 95 %.",
        {
            "{{school_slug}} {{event_id}}": (
                "sort_desc(max by (school_slug, event_id) (registration_capacity_utilization))"
            )
        },
        by="event_id",
        unit="percentunit",
        limit=0.95,
    ),
    heatmap("Database Performance", "Durations of queries; each column is a minute.", "db_query_duration_seconds"),
    percentiles(
        "Database Performance (p50, p95, p99)",
        "Per service. An alert fires at a p95 above 500 ms.",
        "db_query_duration_seconds",
        by="job",
        limit=0.5,
        span=FULL,
    ),
    since="now-24h",
)
