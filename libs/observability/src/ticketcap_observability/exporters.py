"""The senders: OTLP over HTTP or gRPC, with short timeouts, counting what they could not deliver."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.metrics import Counter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ticketcap_observability.otlp_http import HttpMetricExporter, HttpSpanExporter, OtlpSender
from ticketcap_observability.settings import TelemetrySettings

_TIMEOUT_SECONDS: Final = 2


class CountingSpanExporter(SpanExporter):
    """Sends spans, and counts those that could not be delivered."""

    def __init__(self, inner: SpanExporter, dropped: Counter) -> None:
        self._inner = inner
        self._dropped = dropped

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans`` once."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._dropped.add(len(spans), {"signal": "traces"})
        return result

    def shutdown(self) -> None:
        """End the sender."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is left."""
        return self._inner.force_flush(timeout_millis)


def span_exporter(settings: TelemetrySettings) -> SpanExporter:
    """Return the sender of spans."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(
            endpoint=settings.traces_endpoint,
            insecure=_is_plain(settings.traces_endpoint),
            headers=dict(settings.headers),
            timeout=_TIMEOUT_SECONDS,
        )
    return HttpSpanExporter(_sender(settings, settings.traces_endpoint))


def metric_exporter(settings: TelemetrySettings) -> MetricExporter:
    """Return the sender of metrics."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(
            endpoint=settings.metrics_endpoint,
            insecure=_is_plain(settings.metrics_endpoint),
            headers=dict(settings.headers),
            timeout=_TIMEOUT_SECONDS,
        )
    return HttpMetricExporter(_sender(settings, settings.metrics_endpoint))


def _sender(settings: TelemetrySettings, endpoint: str | None) -> OtlpSender:
    return OtlpSender(endpoint or "", settings.headers, timeout=_TIMEOUT_SECONDS)


def _is_plain(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")
