"""Build the dashboard of payments."""

from typing import Final

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, percentiles, stats, time_series

PAYMENTS: Final = board(
    "ticketcap-payments",
    "TicketCap Payments",
    stats(
        "Unsettled for more than an hour",
        "Neither captured nor refunded. The reconciler should have settled them.",
        {
            "{{kind}}": "sum by (kind) (max by (kind, age, school_synthetic) "
            '(payment_unsettled{age!~"under_1m|under_10m|under_1h"}))'
        },
        [(None, "green"), (1, "red")],
    ),
    stats(
        "Wait for a person",
        "Escalations: outcomes that the reconciler can't settle.",
        {"{{kind}}": "sum by (kind) (max by (kind, school_synthetic) (payment_escalated))"},
        [(None, "green"), (1, "red")],
    ),
    stats(
        "Captured in a day",
        "Captured amount within a day, in shekels.",
        {"captured": "sum(increase(payment_amount_sum[1d]))"},
        [(None, "blue")],
        unit="currencyILS",
    ),
    time_series(
        "Payments per minute",
        "Opened, captured and failed payments.",
        {
            "opened": "60 * sum(rate(payment_created_total[5m]))",
            "captured": "60 * sum(rate(payment_completed_total[5m]))",
            "failed": "60 * sum(rate(payment_failed_total[5m]))",
        },
    ),
    time_series(
        "Failures by reason",
        "Failed payments within ten minutes. More than five in all page.",
        {"{{reason}}": "sum by (reason) (increase(payment_failed_total[10m]))"},
        stacked=True,
        limit=5,
    ),
    percentiles(
        "Processing time",
        "Time from the customer's return to the capture's outcome. An alert fires at a p95 above five seconds.",
        "payment_processing_time_seconds",
        limit=5,
    ),
    percentiles("Amounts", "Amounts of captured payments, in shekels.", "payment_amount", unit="currencyILS"),
    time_series(
        "Unsettled by kind and age",
        "Young ones are in progress; old ones are stuck.",
        {"{{kind}} {{age}}": "sum by (kind, age) (max by (kind, age, school_synthetic) (payment_unsettled))"},
        stacked=True,
    ),
    time_series(
        "Outbox lag, and age of the change feed",
        "Wait of the oldest undelivered row, and age of the last complete read of the change feed. "
        "An alert fires for each above a minute.",
        {
            "{{job}} outbox": "max by (job) (outbox_lag_seconds)",
            "{{job}} feed": "min by (job) (registration_feed_age_seconds)",
        },
        unit="s",
        limit=60,
    ),
    percentiles(
        "YaadPay latency (p50, p95, p99)",
        "All actions together. An alert fires at a p95 of one action above three seconds.",
        "yaadpay_call_duration_seconds",
        limit=3,
    ),
    time_series(
        "YaadPay outcomes",
        "Calls per minute; unknown means that money may have moved.",
        {"{{action}} {{outcome}}": "60 * sum by (action, outcome) (rate(yaadpay_call_duration_seconds_count[5m]))"},
    ),
    time_series(
        "Refused returns",
        "Within ten minutes, by reason: returns that YaadPay did not send, or that were altered.",
        {"{{reason}}": "sum by (reason) (increase(payment_return_refused_total[10m]))"},
        limit=5,
        span=FULL,
    ),
    since="now-12h",
)
