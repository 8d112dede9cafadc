"""Export spans, metrics and log lines as OTLP, over whichever protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError, Message
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ticketcap_observability.span_writer import SpanWriter

Rejected = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message: whether it was taken, and how many of its items the collector rejected all the same."""

    taken: bool
    rejected: int = 0


LOST: Final = Delivery(taken=False)


class Sender(Protocol):
    """Sends messages to one address, one at a time."""

    def send(self, message: Message | bytes) -> Delivery:
        """Send ``message``. Never raises for what the other side does."""

    def stop(self) -> None:
        """Give up waiting for another try, and close."""


def delivery_of(answer: bytes) -> Delivery:
    """Return what an answer says of a message that was taken.

    Of all three signals field 1 of the answer is its partial success, and field 1 of that the count:
    https://opentelemetry.io/docs/specs/otlp/#partial-success. An answer that is none says nothing.
    """
    try:
        return Delivery(True, max(0, ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans))
    except DecodeError:
        return Delivery(taken=True)


class OtlpSpanExporter(SpanExporter):
    """Sends spans, without personal data; tells ``rejected`` how many the collector did not want."""

    def __init__(self, sender: Sender, rejected: Rejected) -> None:
        self._sender = sender
        self._rejected = rejected
        self._writer = SpanWriter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``."""
        delivery = self._sender.send(self._writer.request(spans))
        _tell(delivery, self._rejected, len(spans))
        return SpanExportResult.SUCCESS if delivery.taken else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True


class OtlpLogExporter(LogRecordExporter):
    """Sends log lines; tells ``rejected`` how many the collector did not want."""

    def __init__(self, sender: Sender, rejected: Rejected) -> None:
        self._sender = sender
        self._rejected = rejected

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send ``batch``."""
        delivery = self._sender.send(encode_logs(batch))
        _tell(delivery, self._rejected, len(batch))
        return LogRecordExportResult.SUCCESS if delivery.taken else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True


class OtlpMetricExporter(MetricExporter):
    """Sends metrics; tells ``rejected`` how many points the collector did not want."""

    def __init__(self, sender: Sender, rejected: Rejected) -> None:
        super().__init__()
        self._sender = sender
        self._rejected = rejected

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the sender has its own
        **_: Any,
    ) -> MetricExportResult:
        """Send ``metrics_data``."""
        delivery = self._sender.send(encode_metrics(metrics_data))
        _tell(delivery, self._rejected, _points(metrics_data))
        return MetricExportResult.SUCCESS if delivery.taken else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - it does not wait
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True


def _tell(delivery: Delivery, rejected: Rejected, sent: int) -> None:
    if delivery.rejected:
        # A collector can't reject more than it was sent, whatever it says.
        rejected(min(delivery.rejected, sent))


def _points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
