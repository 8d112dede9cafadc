"""The dashboard of the telemetry pipeline: what is sent, what is lost, and whether an alert would reach anybody."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, Query, lines, numbers


def telemetry() -> Dashboard:
    """Return the way from the services over the collector to whoever is woken."""
    return (
        board("ticketcap-telemetry", "TicketCap Telemetry")
        .with_panel(
            numbers(
                "Reached",
                "1: Prometheus can read its page.",
                [Query("min by (job) (up)", "{{job}}")],
                [(None, "red"), (1, "green")],
                span=FULL,
            )
        )
        .with_panel(
            lines(
                "Dropped by the services",
                "Spans and points in ten minutes that could not be delivered. Any alerts.",
                [Query("sum by (job, signal) (increase(telemetry_dropped_total[10m]))", "{{job}} {{signal}}")],
            )
        )
        .with_panel(
            lines(
                "Spans through the collector",
                "A second: taken, refused at the door (memory), passed on, lost on the way out.",
                [
                    Query("sum(rate(otelcol_receiver_accepted_spans_total[5m]))", "taken"),
                    Query("sum(rate(otelcol_receiver_refused_spans_total[5m]))", "refused"),
                    Query("sum by (exporter) (rate(otelcol_exporter_sent_spans_total[5m]))", "sent {{exporter}}"),
                    Query(
                        "sum by (exporter) (rate(otelcol_exporter_send_failed_spans_total[5m]))", "lost {{exporter}}"
                    ),
                ],
            )
        )
        .with_panel(
            lines(
                "Collector's queues",
                "Full at 1: then it loses what comes.",
                [Query("otelcol_exporter_queue_size / otelcol_exporter_queue_capacity", "{{exporter}}")],
                unit="percentunit",
                limit=0.8,
            )
        )
        .with_panel(
            lines(
                "Collector's memory",
                "Resident.",
                [Query("otelcol_process_memory_rss_bytes", "{{instance}}")],
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Spans by service",
                "A second, counted before sampling; errors apart.",
                [
                    Query("sum by (service_name) (rate(traces_span_metrics_calls_total[5m]))", "{{service_name}}"),
                    Query(
                        "sum by (service_name) "
                        '(rate(traces_span_metrics_calls_total{status_code="STATUS_CODE_ERROR"}[5m]))',
                        "{{service_name}} errors",
                    ),
                ],
            )
        )
        .with_panel(
            lines(
                "Slowest spans (p95)",
                "The ten slowest names.",
                [
                    Query(
                        "topk(10, histogram_quantile(0.95, sum by (service_name, span_name, le) "
                        "(rate(traces_span_metrics_duration_seconds_bucket[5m]))))",
                        "{{service_name}} {{span_name}}",
                    )
                ],
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Scrapes",
                "How long each takes.",
                [Query("scrape_duration_seconds", "{{job}} {{instance}}")],
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Series",
                "What Prometheus keeps in memory, and what each page holds: a rise that never ends is a label without "
                "bounds.",
                [
                    Query("prometheus_tsdb_head_series", "in memory"),
                    Query("scrape_samples_scraped", "{{job}} {{instance}}"),
                ],
            )
        )
        .with_panel(
            lines(
                "Notifications",
                "A minute, by way; failed ones apart. Any failure alerts.",
                [
                    Query("60 * sum by (integration) (rate(alertmanager_notifications_total[5m]))", "{{integration}}"),
                    Query(
                        "60 * sum by (integration) (rate(alertmanager_notifications_failed_total[5m]))",
                        "{{integration}} failed",
                    ),
                ],
                span=FULL,
            )
        )
    )
