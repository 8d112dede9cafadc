"""The exporters: OTLP over HTTP or gRPC, compressed, with short timeouts."""

from typing import Final

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from ticketcap_observability.otlp import OtlpLogExporter, OtlpMetricExporter, OtlpSpanExporter, Rejected, Sender
from ticketcap_observability.otlp_grpc import LOGS, METRICS, TRACES, GrpcSender
from ticketcap_observability.otlp_http import OtlpSender
from ticketcap_observability.settings import TelemetrySettings

_TIMEOUT_SECONDS: Final = 2


def span_exporter(settings: TelemetrySettings, rejected: Rejected) -> SpanExporter:
    """Return the exporter of spans; none of them with personal data."""
    return OtlpSpanExporter(_sender(settings, settings.traces_endpoint, TRACES), rejected)


def log_exporter(settings: TelemetrySettings, rejected: Rejected) -> LogRecordExporter:
    """Return the exporter of log lines."""
    return OtlpLogExporter(_sender(settings, settings.logs_endpoint, LOGS), rejected)


def metric_exporter(settings: TelemetrySettings, rejected: Rejected) -> MetricExporter:
    """Return the exporter of metrics."""
    return OtlpMetricExporter(_sender(settings, settings.metrics_endpoint, METRICS), rejected)


def _sender(settings: TelemetrySettings, endpoint: str | None, method: str) -> Sender:
    if settings.protocol == "grpc":
        return GrpcSender(endpoint or "", method, settings.headers, timeout=_TIMEOUT_SECONDS, tls=settings.tls)
    return OtlpSender(endpoint or "", settings.headers, timeout=_TIMEOUT_SECONDS, tls=settings.tls)
