"""The dashboard of money: what is captured, what hangs, how YaadPay answers, and who forges returns."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import HALF, Query, lines, numbers, quantiles


def payments() -> Dashboard:
    """Return payments from their beginning to their settlement."""
    return (
        board("ticketcap-payments", "TicketCap Payments", "now-12h")
        .with_panel(
            numbers(
                "Unsettled for more than an hour",
                "Neither captured nor given back. The reconciler should have settled them.",
                [Query('sum by (kind) (payment_unsettled{age!~"under_1m|under_10m|under_1h"})', "{{kind}}")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Need a person",
                "Beyond the reconciler.",
                [Query("sum by (kind) (payment_escalated)", "{{kind}}")],
                [(None, "green"), (1, "red")],
            )
        )
        .with_panel(
            numbers(
                "Captured in a day",
                "Shekels.",
                [Query("sum(increase(payment_amount_sum[1d]))", "captured")],
                [(None, "blue")],
                unit="currencyILS",
            )
        )
        .with_panel(
            lines(
                "Payments a minute",
                "Begun, captured, failed.",
                [
                    Query("60 * sum(rate(payment_created_total[5m]))", "begun"),
                    Query("60 * sum(rate(payment_completed_total[5m]))", "captured"),
                    Query("60 * sum(rate(payment_failed_total[5m]))", "failed"),
                ],
            )
        )
        .with_panel(
            lines(
                "Failures by reason",
                "In ten minutes. More than five together page.",
                [Query("sum by (reason) (increase(payment_failed_total[10m]))", "{{reason}}")],
                stacked=True,
                limit=5,
            )
        )
        .with_panel(
            lines(
                "Processing time",
                "From the customer's return to the capture's outcome. p95 above five seconds alerts.",
                quantiles("payment_processing_time_seconds"),
                unit="s",
                limit=5,
            )
        )
        .with_panel(
            lines("Amounts", "Of captured payments, in shekels.", quantiles("payment_amount"), unit="currencyILS")
        )
        .with_panel(
            lines(
                "Unsettled by kind and age",
                "The young ones are under way; the old ones hang.",
                [Query("sum by (kind, age) (payment_unsettled)", "{{kind}} {{age}}")],
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Outbox lag, and how old the news of registrations is",
                "How long the oldest undelivered row has waited; since when no changes were read. Each alerts above a "
                "minute.",
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
                "All actions together. p95 of one action above three seconds alerts.",
                quantiles("yaadpay_call_duration_seconds"),
                unit="s",
                limit=3,
            )
        )
        .with_panel(
            lines(
                "YaadPay outcomes",
                "Calls a minute; unknown means that money may or may not have moved.",
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
                "In ten minutes, by reason: returns that YaadPay did not send, or that were altered on the way.",
                [Query("sum by (reason) (increase(payment_return_refused_total[10m]))", "{{reason}}")],
                limit=5,
                span=2 * HALF,
            )
        )
    )
