"""The senders: OTLP over HTTP or gRPC, compressed, with short timeouts."""

from typing import Final

from grpc import Compression
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from ticketcap_observability.otlp_http import HttpLogExporter, HttpMetricExporter, HttpSpanExporter, OtlpSender
from ticketcap_observability.redacted_spans import RedactingExporter
from ticketcap_observability.settings import TelemetrySettings

_TIMEOUT_SECONDS: Final = 2


def span_exporter(settings: TelemetrySettings) -> SpanExporter:
    """Return the sender of spans; none of them with personal data."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return RedactingExporter(
            Grpc(
                endpoint=settings.traces_endpoint,
                insecure=_is_plain(settings.traces_endpoint),
                headers=dict(settings.headers),
                timeout=_TIMEOUT_SECONDS,
                compression=Compression.Gzip,
            )
        )
    return HttpSpanExporter(_sender(settings, settings.traces_endpoint))


def log_exporter(settings: TelemetrySettings) -> LogRecordExporter:
    """Return the sender of log lines."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc

        return Grpc(
            endpoint=settings.logs_endpoint,
            insecure=_is_plain(settings.logs_endpoint),
            headers=dict(settings.headers),
            timeout=_TIMEOUT_SECONDS,
            compression=Compression.Gzip,
        )
    return HttpLogExporter(_sender(settings, settings.logs_endpoint))


def metric_exporter(settings: TelemetrySettings) -> MetricExporter:
    """Return the sender of metrics."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(
            endpoint=settings.metrics_endpoint,
            insecure=_is_plain(settings.metrics_endpoint),
            headers=dict(settings.headers),
            timeout=_TIMEOUT_SECONDS,
            compression=Compression.Gzip,
        )
    return HttpMetricExporter(_sender(settings, settings.metrics_endpoint))


def _sender(settings: TelemetrySettings, endpoint: str | None) -> OtlpSender:
    return OtlpSender(endpoint or "", settings.headers, timeout=_TIMEOUT_SECONDS)


def _is_plain(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")
