"""Build the dashboard of the telemetry pipeline."""

from typing import Final

from deploy.grafana.board import board
from deploy.grafana.panels import FULL, stats, time_series

TELEMETRY: Final = board(
    "ticketcap-telemetry",
    "TicketCap Telemetry",
    stats(
        "Scraped",
        "1: Prometheus can read the metrics page.",
        {"{{job}}": "min by (job) (up)"},
        [(None, "red"), (1, "green")],
        span=FULL,
    ),
    time_series(
        "Dropped by the services",
        "Undelivered spans, points and lines within ten minutes. An alert fires above zero.",
        {"{{job}} {{signal}}": "sum by (job, signal) (increase(telemetry_dropped_total[10m]))"},
    ),
    time_series(
        "Spans through the collector",
        "Per second: accepted, refused (memory full), sent, lost in the export.",
        {
            "accepted": "sum(rate(otelcol_receiver_accepted_spans_total[5m]))",
            "refused": "sum(rate(otelcol_receiver_refused_spans_total[5m]))",
            "sent {{exporter}}": "sum by (exporter) (rate(otelcol_exporter_sent_spans_total[5m]))",
            "lost {{exporter}}": "sum by (exporter) (rate(otelcol_exporter_send_failed_spans_total[5m]))",
        },
    ),
    time_series(
        "Collector's queues",
        "1 is full: the collector then loses new spans.",
        {"{{exporter}}": "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity"},
        unit="percentunit",
        limit=0.8,
    ),
    time_series(
        "Collector's memory", "Resident memory.", {"{{instance}}": "otelcol_process_memory_rss_bytes"}, unit="bytes"
    ),
    time_series(
        "Spans by service",
        "Per second, counted before sampling; errors separately.",
        {
            "{{service_name}}": "sum by (service_name) (rate(traces_span_metrics_calls_total[5m]))",
            "{{service_name}} errors": (
                'sum by (service_name) (rate(traces_span_metrics_calls_total{status_code="STATUS_CODE_ERROR"}[5m]))'
            ),
        },
    ),
    time_series(
        "Slowest spans (p95)",
        "The ten slowest span names.",
        {
            "{{service_name}} {{span_name}}": (
                "topk(10, histogram_quantile(0.95, sum by (service_name, span_name, le) "
                "(rate(traces_span_metrics_duration_seconds_bucket[5m]))))"
            )
        },
        unit="s",
    ),
    time_series("Scrapes", "Duration of each scrape.", {"{{job}} {{instance}}": "scrape_duration_seconds"}, unit="s"),
    time_series(
        "Series",
        "Series in Prometheus' memory, and samples on each page: a rise without end is an unbounded label.",
        {"in memory": "prometheus_tsdb_head_series", "{{job}} {{instance}}": "scrape_samples_scraped"},
    ),
    time_series(
        "Notifications",
        "Per minute and integration; failures separately. An alert fires on any failure.",
        {
            "{{integration}}": "60 * sum by (integration) (rate(alertmanager_notifications_total[5m]))",
            "{{integration}} failed": "60 * sum by (integration) (rate(alertmanager_notifications_failed_total[5m]))",
        },
        span=FULL,
    ),
)
