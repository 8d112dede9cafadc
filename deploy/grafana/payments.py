"""Build the dashboard of payments."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import HALF, Query, lines, numbers, quantiles


def payments() -> Dashboard:
    """Return the dashboard of payments: opened, captured, unsettled; YaadPay's answers; refused returns."""
    return (
        board("ticketcap-payments", "TicketCap Payments", "now-12h")
        .with_panel(
            numbers(
                "Unsettled for more than an hour",
                "Neither captured nor refunded. The reconciler should have settled them.",
                [Query('sum by (kind) (payment_unsettled{age!~"under_1m|under_10m|under_1h"})', "{{kind}}")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Wait for a person",
                "Escalations: outcomes that the reconciler can't settle.",
                [Query("sum by (kind) (payment_escalated)", "{{kind}}")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Captured in a day",
                "Captured amount within a day, in shekels.",
                [Query("sum(increase(payment_amount_sum[1d]))", "captured")],
                [(None, "blue")],
                unit="currencyILS",
            )
        )
        .with_panel(
            lines(
                "Payments per minute",
                "Opened, captured and failed payments.",
                [
                    Query("60 * sum(rate(payment_created_total[5m]))", "opened"),
                    Query("60 * sum(rate(payment_completed_total[5m]))", "captured"),
                    Query("60 * sum(rate(payment_failed_total[5m]))", "failed"),
                ],
            )
        )
        .with_panel(
            lines(
                "Failures by reason",
                "Failed payments within ten minutes. More than five in all page.",
                [Query("sum by (reason) (increase(payment_failed_total[10m]))", "{{reason}}")],
                stacked=True,
                limit=5,
            )
        )
        .with_panel(
            lines(
                "Processing time",
                "Time from the customer's return to the capture's outcome. An alert fires at a p95 above five seconds.",
                quantiles("payment_processing_time_seconds"),
                unit="s",
                limit=5,
            )
        )
        .with_panel(
            lines(
                "Amounts", "Amounts of captured payments, in shekels.", quantiles("payment_amount"), unit="currencyILS"
            )
        )
        .with_panel(
            lines(
                "Unsettled by kind and age",
                "Young ones are in progress; old ones are stuck.",
                [Query("sum by (kind, age) (payment_unsettled)", "{{kind}} {{age}}")],
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Outbox lag, and age of the change feed",
                "Wait of the oldest undelivered row, and age of the last complete read of the change feed. "
                "An alert fires for each above a minute.",
                [
                    Query("max by (job) (outbox_lag_seconds)", "{{job}} outbox"),
                    Query("min by (job) (registration_feed_age_seconds)", "{{job}} feed"),
                ],
                unit="s",
                limit=60,
            )
        )
        .with_panel(
            lines(
                "YaadPay latency (p50, p95, p99)",
                "All actions together. An alert fires at a p95 of one action above three seconds.",
                quantiles("yaadpay_call_duration_seconds"),
                unit="s",
                limit=3,
            )
        )
        .with_panel(
            lines(
                "YaadPay outcomes",
                "Calls per minute; unknown means that money may have moved.",
                [
                    Query(
                        "60 * sum by (action, outcome) (rate(yaadpay_call_duration_seconds_count[5m]))",
                        "{{action}} {{outcome}}",
                    )
                ],
            )
        )
        .with_panel(
            lines(
                "Refused returns",
                "Within ten minutes, by reason: returns that YaadPay did not send, or that were altered.",
                [Query("sum by (reason) (increase(payment_return_refused_total[10m]))", "{{reason}}")],
                limit=5,
                span=2 * HALF,
            )
        )
    )
