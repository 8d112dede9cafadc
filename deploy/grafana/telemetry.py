"""Build the dashboard of the telemetry pipeline."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, Query, lines, numbers


def telemetry() -> Dashboard:
    """Return the dashboard of sent and lost telemetry, from the services to the notifications."""
    return (
        board("ticketcap-telemetry", "TicketCap Telemetry")
        .with_panel(
            numbers(
                "Scraped",
                "1: Prometheus can read the metrics page.",
                [Query("min by (job) (up)", "{{job}}")],
                [(None, "red"), (1, "green")],
                span=FULL,
            )
        )
        .with_panel(
            lines(
                "Dropped by the services",
                "Undelivered spans, points and lines within ten minutes. An alert fires above zero.",
                [Query("sum by (job, signal) (increase(telemetry_dropped_total[10m]))", "{{job}} {{signal}}")],
            )
        )
        .with_panel(
            lines(
                "Spans through the collector",
                "Per second: accepted, refused (memory full), sent, lost in the export.",
                [
                    Query("sum(rate(otelcol_receiver_accepted_spans_total[5m]))", "accepted"),
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
                "1 is full: the collector then loses new spans.",
                [Query("otelcol_exporter_queue_size / otelcol_exporter_queue_capacity", "{{exporter}}")],
                unit="percentunit",
                limit=0.8,
            )
        )
        .with_panel(
            lines(
                "Collector's memory",
                "Resident memory.",
                [Query("otelcol_process_memory_rss_bytes", "{{instance}}")],
                unit="bytes",
            )
        )
        .with_panel(
            lines(
                "Spans by service",
                "Per second, counted before sampling; errors separately.",
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
                "The ten slowest span names.",
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
                "Duration of each scrape.",
                [Query("scrape_duration_seconds", "{{job}} {{instance}}")],
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Series",
                "Series in Prometheus' memory, and samples on each page: a rise without end is an unbounded label.",
                [
                    Query("prometheus_tsdb_head_series", "in memory"),
                    Query("scrape_samples_scraped", "{{job}} {{instance}}"),
                ],
            )
        )
        .with_panel(
            lines(
                "Notifications",
                "Per minute and integration; failures separately. An alert fires on any failure.",
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
