"""Sends OTLP over HTTP with what Python brings along: one connection, short timeouts, one more try.

The stock exporter carries a whole HTTP library into every service, some 5 MB
of memory; what it does with it is one POST a second.
"""

import gzip
import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ticketcap_observability.span_writer import SpanWriter

_PAUSE_SECONDS: Final = 0.5
_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer; nothing in it is used."""
# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class OtlpSender:
    """Posts messages to one address, one at a time."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], *, timeout: float) -> None:
        self._address: Final[SplitResult] = urlsplit(endpoint)
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **headers}
        self._timeout = timeout
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def send(self, message: Message | bytes) -> bool:
        """Post ``message``; say whether it was taken. Never raises for what the other side does."""
        written = message if isinstance(message, bytes) else message.SerializeToString()
        body = gzip.compress(written, compresslevel=1)
        status = self._post(body)
        if status is None or status in _TRY_AGAIN:
            if self._stopped.wait(_PAUSE_SECONDS):
                return False
            status = self._post(body)
        return status == http.HTTPStatus.OK

    def stop(self) -> None:
        """Give up waiting for another try, and close."""
        self._stopped.set()
        self._close()

    def _post(self, body: bytes) -> int | None:
        """Return the answer's status, None when there was none."""
        deadline = time.monotonic() + self._timeout
        try:
            connection = self._open()
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            response.read(_ANSWER_BYTES)
        except (OSError, http.client.HTTPException):
            self._close()
            return None
        if response.will_close or not response.isclosed() or time.monotonic() > deadline:
            self._close()
        return response.status

    @property
    def _path(self) -> str:
        return f"{self._address.path or '/'}{'?' + self._address.query if self._address.query else ''}"

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._address.hostname or "", self._address.port, timeout=self._timeout)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class HttpSpanExporter(SpanExporter):
    """Sends spans, without personal data."""

    def __init__(self, sender: OtlpSender) -> None:
        self._sender = sender
        self._writer = SpanWriter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``."""
        return SpanExportResult.SUCCESS if self._sender.send(self._writer.request(spans)) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True


class HttpLogExporter(LogRecordExporter):
    """Sends log lines."""

    def __init__(self, sender: OtlpSender) -> None:
        self._sender = sender

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send ``batch``."""
        return LogRecordExportResult.SUCCESS if self._sender.send(encode_logs(batch)) else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True


class HttpMetricExporter(MetricExporter):
    """Sends metrics."""

    def __init__(self, sender: OtlpSender) -> None:
        super().__init__()
        self._sender = sender

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the sender has its own
        **_: Any,
    ) -> MetricExportResult:
        """Send ``metrics_data``."""
        return (
            MetricExportResult.SUCCESS
            if self._sender.send(encode_metrics(metrics_data))
            else MetricExportResult.FAILURE
        )

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - it does not wait
        """End."""
        self._sender.stop()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - nothing is kept here
        """Return at once: nothing is kept here."""
        return True
